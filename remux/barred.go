package remux

import "tunnels/internal/code"

// barrer is a lower connection that may come to forbid its peer new sessions, as
// when the peer's certificate expires. Those that are open go on.
type barrer interface {
	// Barred returns why the peer may open no more sessions, or nil if it may.
	// It must return at once.
	Barred() error
}

// barredLocked returns why the peer may open no more sessions, or nil. It is
// asked for every session as it begins, not left to a timer: after sleep, a
// timer comes late.
func (c *Conn) barredLocked() error {
	b, ok := c.nc.(barrer)
	if !ok || c.dialer {
		return nil
	}
	return b.Barred()
}

// bar says GOAWAY to a peer that may open no more sessions, if it has not.
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
