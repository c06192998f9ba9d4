package conn

import "tunnels/internal/code"

// barrer is a lower connection that may come to forbid its peer new sessions, as
// when the peer's certificate expires. Those that are open go on.
type barrer interface {
	// Barred returns why the peer may open no more sessions, or nil if it may.
	// It must return at once.
	Barred() error
}

// barredLocked returns why the peer may open no more sessions, or nil. It is called
// for every session that begins: a timer would be late after sleep.
func (c *Conn) barredLocked() error {
	b, ok := c.nc.(barrer)
	if !ok || c.dialer {
		return nil
	}
	return b.Barred()
}

// bar says GOAWAY to a peer that may open no more sessions, once.
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
