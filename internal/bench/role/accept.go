package role

import (
	"fmt"
	"net"
	"sync"
)

// Acceptor serves a listener's connections, one goroutine each; closing it closes them
// all.
type Acceptor struct {
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // guarded by mu; closed by Close
	closed bool                  // guarded by mu
}

// Serve listens on addr and calls handle for every connection; the connection is closed
// when handle returns.
func Serve(addr string, handle func(a *Acceptor, c *net.TCPConn)) (*Acceptor, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	a := &Acceptor{ln: ln, conns: make(map[net.Conn]struct{})}
	a.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed, or out of descriptors, which fails the trials
			}
			if !a.hold(c) {
				return
			}
			a.wg.Go(func() {
				defer a.drop(c)
				handle(a, c.(*net.TCPConn))
			})
		}
	})
	return a, nil
}

// Addr returns the address it is listening on.
func (a *Acceptor) Addr() string { return a.ln.Addr().String() }

// hold registers c so that Close closes it. If Close was already called, hold closes c
// itself and returns false.
func (a *Acceptor) hold(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		c.Close()
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

func (a *Acceptor) drop(c net.Conn) {
	a.mu.Lock()
	delete(a.conns, c)
	a.mu.Unlock()
	c.Close()
}

// Close closes the listener and all connections, and waits for the goroutines.
func (a *Acceptor) Close() error {
	err := a.ln.Close()
	a.mu.Lock()
	a.closed = true
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	a.wg.Wait()
	return err
}
