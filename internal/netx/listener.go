package netx

import (
	"fmt"
	"net"
	"sync"
)

// listener is a listener whose Accept fails only after Close.
type listener struct {
	net.Listener // set once; only its Close and Accept are used, from any goroutine
	cfg          Config
	closing      chan struct{} // closed by Close
	closeOnce    sync.Once
	closeErr     error // owned by closeOnce
	retry        Retry // does its own locking
}

func newListener(inner net.Listener, cfg Config) *listener {
	return &listener{Listener: inner, cfg: cfg, closing: make(chan struct{})}
}

// Accept waits for the next connection. Its only error wraps net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.retry.Accept(l.Listener.Accept, l.closing, l.report)
	if err != nil {
		return nil, fmt.Errorf("accepting on %s: %w", l.Addr(), err)
	}
	if l.cfg.Carrier {
		setCarrierConn(c)
	}
	if l.cfg.Tune != nil {
		l.cfg.Tune(c)
	}
	return c, nil
}

// report reports an error if it is the first of a burst.
func (l *listener) report(err error, first bool) {
	if first && l.cfg.Report != nil {
		l.cfg.Report(fmt.Errorf("accepting on %s, trying again: %w", l.Addr(), err))
	}
}

// Close interrupts Accept calls that are waiting or pausing. Further calls do nothing.
func (l *listener) Close() error {
	l.closeOnce.Do(func() {
		close(l.closing)
		l.closeErr = l.Listener.Close()
	})
	return l.closeErr
}

// setCarrierConn sets the carrier options on an accepted connection, because some are
// not inherited from the listening socket. If one cannot be set, the connection is
// slower or detects a dead peer later, which is no reason to reject it.
func setCarrierConn(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = setCarrier(raw)
	}
}
