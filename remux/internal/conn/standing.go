package conn

import "time"

// Standing is how much a conn is in use: of the unused ones, the one with the least is
// given up first.
type Standing struct {
	Unserved bool // it has never had a session
	Idle     time.Duration
}

// Standing returns false for a conn with sessions.
func (c *Conn) Standing() (Standing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Standing{Unserved: !c.table.served, Idle: time.Since(c.table.idleFrom)}, len(c.table.sessions) == 0
}

// Client returns the client that an accepted conn belongs to.
func (c *Conn) Client() string { return c.client }

// Remote returns the address of the peer, or "" if it has none.
func (c *Conn) Remote() string {
	if a := c.nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Heard reports whether anything has ever come.
func (c *Conn) Heard() bool { return c.keepalive.heard() }

// LastHeard returns when something last came, or the zero time if nothing ever did.
func (c *Conn) LastHeard() time.Time {
	received := c.keepalive.received.Load()
	if received == 0 {
		return time.Time{}
	}
	return c.born.Add(time.Duration(received))
}

// UnansweredFor returns for how long bytes of ours have waited for an answer, or 0 if
// none do.
func (c *Conn) UnansweredFor() time.Duration {
	since := c.keepalive.unanswered.Load()
	if since == 0 {
		return 0
	}
	return c.Age() - time.Duration(since)
}

// StillSince returns since when nothing has moved towards the answer that is due since
// asked.
func (c *Conn) StillSince(asked time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.born.Add(c.keepalive.movedLocked(c)); at.After(asked) {
		return at
	}
	return asked
}

// Ask sends a PING unless an answer has been owed since heard already, when the server was
// last heard of on any conn. It reports whether one is owed now.
func (c *Conn) Ask(heard time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.end.state == open || c.end.state == draining) && c.keepalive.askLocked(c, heard)
}
