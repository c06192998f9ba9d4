package netx

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	burstGap       = 10 * time.Second // after this long without an error, the next one begins a new burst
)

// Retry accepts connections and keeps trying when accepting fails. A shortage of file
// descriptors or memory, or a connection aborted before it was accepted, is temporary,
// but a server that stopped listening would have to be restarted by hand. The zero
// Retry is ready to use from any goroutine.
type Retry struct {
	mu    sync.Mutex    // never held while accepting, pausing or reporting
	pause time.Duration // guarded by mu; the last pause, or 0 after a success
	last  time.Time     // guarded by mu; when accepting last failed
}

// Accept calls accept until it succeeds or fails with net.ErrClosed. After any other
// error it calls report and pauses: 5 ms at first, doubling up to 1 s until accept
// succeeds. first reports whether the error begins a burst, that is, whether there
// was none in the previous 10 s. Accept returns net.ErrClosed, not wrapped, if accept did
// or if stop was closed during a pause.
func (r *Retry) Accept(accept func() (net.Conn, error), stop <-chan struct{}, report func(err error, first bool)) (net.Conn, error) {
	for {
		c, err := accept()
		switch {
		case err == nil:
			r.succeeded()
			return c, nil
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		}
		pause, first := r.failed()
		report(err, first)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-stop:
			t.Stop()
			return nil, net.ErrClosed
		}
	}
}

// failed returns how long to pause after an error, and whether the error begins a
// burst. A process at its limit still accepts a connection now and then, which must not
// trigger another report.
func (r *Retry) failed() (pause time.Duration, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	first = now.Sub(r.last) > burstGap
	r.last = now
	r.pause = min(max(2*r.pause, acceptPauseMin), acceptPauseMax)
	return r.pause, first
}

func (r *Retry) succeeded() {
	r.mu.Lock()
	r.pause = 0
	r.mu.Unlock()
}
