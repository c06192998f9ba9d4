package remux

import "time"

// standing is how much a conn is in use: of the unused ones, the one with the least is
// given up first.
type standing struct {
	unserved bool // it has never had a session
	idle     time.Duration
}

// standing returns false for a conn with sessions.
func (c *Conn) standing() (standing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return standing{unserved: !c.table.served, idle: time.Since(c.table.idleFrom)}, len(c.table.sessions) == 0
}

// heard reports whether anything has ever come.
func (c *Conn) heard() bool { return c.keepalive.heard() }

// lastHeard returns when something last came, or the zero time if nothing ever did.
func (c *Conn) lastHeard() time.Time {
	received := c.keepalive.received.Load()
	if received == 0 {
		return time.Time{}
	}
	return c.born.Add(time.Duration(received))
}

// unansweredFor returns for how long bytes of ours have waited for an answer, or 0 if
// none do.
func (c *Conn) unansweredFor() time.Duration {
	since := c.keepalive.unanswered.Load()
	if since == 0 {
		return 0
	}
	return c.age() - time.Duration(since)
}

// stillSince returns since when nothing has moved towards the answer that is due since
// asked.
func (c *Conn) stillSince(asked time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.born.Add(c.keepalive.movedLocked(c)); at.After(asked) {
		return at
	}
	return asked
}

// ask asks for an answer as keepalive.askLocked does. It reports whether one is owed.
func (c *Conn) ask(heard time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.end.state == open || c.end.state == draining) && c.keepalive.askLocked(c, heard)
}
