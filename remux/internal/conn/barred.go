package conn

import "tunnels/internal/code"

// barrer is a lower connection that may bar its peer from opening sessions, for example
// when the peer's certificate expires. Open sessions continue.
type barrer interface {
	// Barred returns why the peer may open no more sessions, or nil if it may. It must
	// not block.
	Barred() error
}

// barredLocked returns why the peer may open no more sessions, or nil. It is called for
// every new session, because a timer would fire late after the machine has slept.
func (c *Conn) barredLocked() error {
	b, ok := c.nc.(barrer)
	if !ok || c.dialer {
		return nil
	}
	return b.Barred()
}

// bar sends GOAWAY, once, to a peer that may open no more sessions.
func (c *Conn) bar() {
	c.mu.Lock()
	err := c.barredLocked()
	first := err != nil && !c.end.barred && c.end.state != dead
	c.end.barred = c.end.barred || first
	c.mu.Unlock()
	if first {
		c.drain(code.NotAuthorised, err.Error())
		c.cfg.Hooks.connBarred(c.connID(), err)
	}
}
