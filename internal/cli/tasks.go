package cli

import (
	"context"
	"sync"

	"tunnels/internal/lifecycle"
)

// task is a role of this process, with the texts used to log it.
type task struct {
	lifecycle.Role
	name  string // server or client
	files string // files reloaded by SIGHUP
	begun string // status once it is listening
}

// tasks holds the roles of one process in starting order. They stop in reverse order,
// so that a role stops before the roles it depends on.
type tasks []task

// serve runs each role in its own goroutine, added to wg, and sends its result to ended.
func (all tasks) serve(wg *sync.WaitGroup, ended chan<- error) {
	for _, r := range all {
		wg.Go(func() { ended <- r.Serve() })
	}
}

// shutdown drains all roles concurrently. cut is called for each role that did not finish in
// time.
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

// close closes all roles immediately, one after another.
func (all tasks) close() {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].Close()
	}
}
