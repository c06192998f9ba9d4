package testnet

import (
	"net"
	"sync"
)

// link is one connection through a Relay: both its sides.
type link struct {
	client *net.TCPConn  // set once, never changed
	ended  chan struct{} // closed once the link is to end

	mu     sync.Mutex
	server *net.TCPConn // guarded by mu until the lanes start, then static
	over   bool         // guarded by mu; ended is closed
}

// setServer adds the far side; false, and it is reset, if the link has ended.
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

// abort resets both sides. It takes no time and may be called by anybody.
func (l *link) abort() { l.end(abort) }

// close ends what is left once both directions have ended cleanly.
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
