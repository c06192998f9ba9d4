package lifecycle

import (
	"context"
	"fmt"
	"net"
	"sync"

	"tunnels/internal/code"
	"tunnels/internal/splice"
	"tunnels/internal/trim"
)

// Work is the connections being served, each by a goroutine of its own.
type Work struct {
	wg     sync.WaitGroup
	Memory *trim.Trimmer // static once something is started; nil if memory is left to the runtime. Abort closes it

	mu    sync.Mutex
	conns map[net.Conn]net.Conn // guarded by mu; with the one each is joined with, or nil
	over  bool                  // guarded by mu; Abort was called
}

// Start serves c in a goroutine. What serve returns, if anything, is done in
// another one: making a connection takes a deep stack, which carrying bytes, for
// hours perhaps, then does not hold.
func (w *Work) Start(c net.Conn, serve func() (rest func())) {
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
	if w.Memory != nil {
		w.Memory.Began(len(w.conns))
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

// Join notes that bytes go between c, which is being served, and far: an end that
// has said all is not listened to any more, so aborting it alone would not be
// noticed before the other one speaks.
func (w *Work) Join(c, far net.Conn) {
	w.mu.Lock()
	over := w.over
	w.conns[c] = far
	w.mu.Unlock()
	if over {
		splice.Abort(far, code.GoingAway, "")
	}
}

func (w *Work) forget(c net.Conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	if w.Memory != nil {
		w.Memory.Ended()
	}
}

// Count returns how many are being served.
func (w *Work) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// Wait waits until all are served.
func (w *Work) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last of them, which Abort can hasten
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

// Abort ends all that are still served, and waits for them.
func (w *Work) Abort() {
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
	if w.Memory != nil {
		w.Memory.Close()
	}
}
