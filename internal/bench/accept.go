package bench

import (
	"fmt"
	"net"
	"sync"
)

// acceptor serves a listener's connections, each in its own goroutine, and closes them
// all when it is closed.
type acceptor struct {
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // guarded by mu; closed by Close
	closed bool                  // guarded by mu
}

// serve listens on addr and calls handle for every connection, which is closed when
// handle returns.
func serve(addr string, handle func(a *acceptor, c *net.TCPConn)) (*acceptor, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	a := &acceptor{ln: ln, conns: make(map[net.Conn]struct{})}
	a.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed; without descriptors it also ends here, and its trials fail
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

func (a *acceptor) addr() string { return a.ln.Addr().String() }

// hold makes Close close c. If that has already happened it closes c and returns false.
func (a *acceptor) hold(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		c.Close()
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

func (a *acceptor) drop(c net.Conn) {
	a.mu.Lock()
	delete(a.conns, c)
	a.mu.Unlock()
	c.Close()
}

// Close closes everything and waits for the goroutines.
func (a *acceptor) Close() error {
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
