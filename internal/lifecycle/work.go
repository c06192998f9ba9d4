package tunnel

import (
	"context"
	"fmt"
	"net"
	"sync"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// work is the connections being served, each by a goroutine of its own.
type work struct {
	wg     sync.WaitGroup
	memory *trimmer // static once something is started; nil if memory is left to the runtime

	mu    sync.Mutex
	conns map[net.Conn]net.Conn // guarded by mu; with the one each is joined with, or nil
	over  bool                  // guarded by mu; abort was called
}

// start serves c in a goroutine. What serve returns, if anything, is done in
// another one: making a connection takes a deep stack, which carrying bytes, for
// hours perhaps, then does not hold.
func (w *work) start(c net.Conn, serve func() (rest func())) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		splice.Abort(c, code.GoingAway, "")
		return
	}
	if w.conns == nil {
		w.conns = map[net.Conn]net.Conn{}
	}
	w.conns[c] = nil
	if w.memory != nil {
		w.memory.began(len(w.conns))
	}
	w.wg.Go(func() {
		rest := serve()
		if rest == nil {
			w.forget(c)
			return
		}
		w.wg.Go(func() {
			defer w.forget(c)
			rest()
		})
	})
}

// join notes that bytes go between c, which is being served, and far: an end that
// has said all is not listened to any more, so aborting it alone would not be
// noticed before the other one speaks.
func (w *work) join(c, far net.Conn) {
	w.mu.Lock()
	over := w.over
	w.conns[c] = far
	w.mu.Unlock()
	if over {
		splice.Abort(far, code.GoingAway, "")
	}
}

func (w *work) forget(c net.Conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	if w.memory != nil {
		w.memory.ended()
	}
}

// count is how many are being served.
func (w *work) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// wait waits until all are served.
func (w *work) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last of them, which abort can hasten
		w.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		n := len(w.conns)
		w.mu.Unlock()
		return fmt.Errorf("%d still open: %w", n, context.Cause(ctx))
	}
}

// abort ends all that are still served, and waits for them.
func (w *work) abort() {
	w.mu.Lock()
	w.over = true
	conns := make([]net.Conn, 0, 2*len(w.conns))
	for c, far := range w.conns {
		if conns = append(conns, c); far != nil {
			conns = append(conns, far)
		}
	}
	w.mu.Unlock()
	for _, c := range conns {
		splice.Abort(c, code.GoingAway, "the process is being stopped")
	}
	w.wg.Wait()
	if w.memory != nil {
		w.memory.close()
	}
}
