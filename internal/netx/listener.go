package netx

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	burstGap       = 10 * time.Second // without an error: what follows is another burst
)

// listener is a listener whose Accept fails only once it is closed.
type listener struct {
	net.Listener // static; only its Close and Accept are used, from any goroutine
	cfg          Config
	closing      chan struct{} // closed by Close
	closeOnce    sync.Once
	closeErr     error // owned by closeOnce

	mu    sync.Mutex    // never held while accepting, pausing or reporting
	pause time.Duration // guarded by mu; how long the next error is waited for
	last  time.Time     // guarded by mu; when Accept last failed
}

func newListener(inner net.Listener, cfg Config) *listener {
	return &listener{Listener: inner, cfg: cfg, closing: make(chan struct{})}
}

// Accept waits for the next connection. Its only error wraps net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			l.recovered()
			if l.cfg.Carrier {
				setCarrierConn(c)
			}
			return c, nil
		}
		// Too many open files, a connection that was aborted before it was
		// accepted, memory: all of it passes, and a server that stops listening
		// because of it would have to be started by hand.
		if !errors.Is(err, net.ErrClosed) {
			pause, first := l.failed()
			if first && l.cfg.Report != nil {
				l.cfg.Report(fmt.Errorf("accepting on %s, trying again: %w", l.Addr(), err))
			}
			t := time.NewTimer(pause)
			select {
			case <-t.C:
				continue
			case <-l.closing:
				t.Stop()
			}
		}
		return nil, fmt.Errorf("accepting on %s: %w", l.Addr(), net.ErrClosed)
	}
}

// failed is how long to wait after an error, and whether it begins a burst: a
// process that lives at its limit accepts one connection now and then, and that
// is no reason to say it all again.
func (l *listener) failed() (pause time.Duration, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	first = now.Sub(l.last) > burstGap
	l.last = now
	l.pause = min(max(2*l.pause, acceptPauseMin), acceptPauseMax)
	return l.pause, first
}

func (l *listener) recovered() {
	l.mu.Lock()
	l.pause = 0
	l.mu.Unlock()
}

// Close ends waiting Accepts, also paused ones. Later calls do nothing.
func (l *listener) Close() error {
	l.closeOnce.Do(func() {
		close(l.closing)
		l.closeErr = l.Listener.Close()
	})
	return l.closeErr
}

// setCarrierConn sets a carrier's options on an accepted connection. It does so
// itself because not every option is inherited from the listening socket. An
// option that cannot be set costs speed, or time until a dead peer is noticed:
// no reason to turn the connection away.
func setCarrierConn(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = setCarrier(raw)
	}
}
