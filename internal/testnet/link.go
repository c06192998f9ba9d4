package testnet

import (
	"net"
	"sync"
)

// link is one connection through a Relay, holding both sides.
type link struct {
	client *net.TCPConn  // set once, never changed
	ended  chan struct{} // closed to end the link

	mu     sync.Mutex
	server *net.TCPConn // guarded by mu until the lanes start; never changed after that
	over   bool         // guarded by mu; whether ended is closed
}

// setServer adds the server's side. If the link has already ended, it resets c and
// returns false.
func (l *link) setServer(c *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		abort(c)
		return false
	}
	l.server = c
	return true
}

// abort resets both sides. It does not block and may be called from any goroutine.
func (l *link) abort() { l.end(abort) }

// close closes both sides, after both directions have ended cleanly.
func (l *link) close() { l.end(func(c *net.TCPConn) { c.Close() }) }

func (l *link) end(how func(*net.TCPConn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.ended)
	how(l.client)
	if l.server != nil {
		how(l.server)
	}
}

// abort closes a connection with a TCP reset.
func abort(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
