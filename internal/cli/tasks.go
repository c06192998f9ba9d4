package cli

import (
	"context"
	"sync"

	"tunnels/internal/lifecycle"
)

// task is a role of this process, with what the log says of it.
type task struct {
	lifecycle.Role
	name  string // server or client
	files string // what it reads again
	begun string // what it does now that it listens
}

// tasks are the roles of one process, in the order in which they begin. They end in the
// opposite order, so that what needs another role ends before it.
type tasks []task

// serve serves all roles, each in a goroutine of wg. ended is told when one ends.
func (all tasks) serve(wg *sync.WaitGroup, ended chan<- error) {
	for _, r := range all {
		wg.Go(func() { ended <- r.Serve() })
	}
}

// shutdown drains all roles at the same time. cut is told of each that did not finish.
func (all tasks) shutdown(ctx context.Context, cut func(name string, err error)) {
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			if err := r.Shutdown(ctx); err != nil {
				cut(r.name, err)
			}
		})
	}
	wg.Wait()
}

// close ends all roles at once, one after the other.
func (all tasks) close() {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].Close()
	}
}
