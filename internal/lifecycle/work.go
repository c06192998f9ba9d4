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

// Work tracks connections while they are being served, each in its own goroutine.
type Work struct {
	wg     sync.WaitGroup
	Memory *trim.Trimmer // set before the first Start, closed by Abort; nil leaves memory to the runtime

	mu    sync.Mutex
	conns map[net.Conn]net.Conn // guarded by mu; maps each connection to the far one it is joined with, or nil
	over  bool                  // guarded by mu; Abort has been called
}

// Start serves c by calling serve in a goroutine and then, in a second one, the rest
// function that serve returned, if any. Setting up a connection grows the stack; the
// second goroutine avoids holding that memory while the connection carries data, perhaps
// for hours.
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

// Join records that c, which is being served, is joined with far, so that Abort ends
// both. Once c has finished sending, nothing reads from it, and aborting only c would
// go unnoticed until far sends something.
func (w *Work) Join(c, far net.Conn) {
	w.mu.Lock()
	over := w.over
	w.conns[c] = far
	w.mu.Unlock()
	if over {
		splice.Abort(far, code.GoingAway, "")
	}
}

// forget removes c once it has been served.
func (w *Work) forget(c net.Conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	if w.Memory != nil {
		w.Memory.Ended()
	}
}

// Count returns the number of connections being served.
func (w *Work) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// Wait waits until no connection is being served. It returns an error if ctx is done
// first.
func (w *Work) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // exits when the last connection ends, which Abort makes happen
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

// Abort aborts all connections still being served and waits for them to end.
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
