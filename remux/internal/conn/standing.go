package conn

import "time"

// Standing ranks the conns without sessions when one of them must be evicted.
type Standing struct {
	Unserved bool // it has never had a session
	Idle     time.Duration
}

// Standing returns the conn's standing, or false if it has sessions.
func (c *Conn) Standing() (Standing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Standing{Unserved: !c.table.served, Idle: time.Since(c.table.idleFrom)}, len(c.table.sessions) == 0
}

// Client returns the client to which an accepted conn belongs.
func (c *Conn) Client() string { return c.client }

// Remote returns the address of the peer, or "" if it has none.
func (c *Conn) Remote() string {
	if a := c.nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Heard reports whether anything has ever been received.
func (c *Conn) Heard() bool { return c.keepalive.Heard() }

// LastHeard returns when something was last received, or the zero time if nothing ever
// was.
func (c *Conn) LastHeard() time.Time { return c.keepalive.LastHeard() }

// UnansweredFor returns how long our bytes have gone unanswered, or 0 if none are.
func (c *Conn) UnansweredFor() time.Duration { return c.keepalive.UnansweredFor() }

// StillSince returns when the peer's kernel last acknowledged bytes ahead of the
// question, or asked, the time of the question, if that is later.
func (c *Conn) StillSince(asked time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.born.Add(c.keepalive.MovedLocked()); at.After(asked) {
		return at
	}
	return asked
}

// Ask sends a PING unless the peer already owes a response to one sent since heard, when
// the server was last heard from on any conn. It reports whether a response is owed now.
func (c *Conn) Ask(heard time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.state != open && c.end.state != draining {
		return false
	}
	var owed bool
	c.out.ctrl, owed = c.keepalive.AskLocked(c.out.ctrl, c.peer.kind == peerFull, heard)
	c.out.wake.Signal()
	return owed
}
