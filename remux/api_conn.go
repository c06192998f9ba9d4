package remux

import (
	"context"
	"net"
)

// NewConn makes a conn over nc, which it owns from now on. dialed says which end this is:
// the one that made the connection, or the one that accepted it. The peer may open up to
// SessMax sessions at one time, which Accept returns. Close or GoAway ends the conn.
func (c Config) NewConn(nc net.Conn, dialed bool) *Conn {
	c = c.defaults()
	return start(nc, c.conn(), dialed)
}

// Open opens a session. The peer learns of it with the first Write or Read. Open waits,
// until ctx ends, while the peer's HELLO has yet to come, if the peer made the
// connection, and while as many sessions are open as the peer permits. It fails if the
// peer permits none, or the conn has ended, is going away or has used up its numbers.
// Waiting calls are served in no particular order.
func (c *Conn) Open(ctx context.Context) (Session, error) {
	s, err := c.openSession(ctx)
	if err != nil {
		return nil, err // not a nil *session
	}
	return s, nil
}
