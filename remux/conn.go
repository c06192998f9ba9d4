package remux

import (
	"context"
	"net"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
)

// Conn is one lower connection and the sessions on it, which either end may open where
// the other permits it. All methods are safe for concurrent use.
type Conn struct{ conn *conn.Conn }

// NewConn makes a conn over nc, which it owns from now on. dialed says which end this is:
// the one that made the connection, or the one that accepted it. The peer may open up to
// SessMax sessions at one time, which Accept returns. Close or GoAway ends the conn.
func (c Config) NewConn(nc net.Conn, dialed bool) *Conn {
	c = c.defaults()
	return &Conn{conn.Start(nc, c.conn(), dialed)}
}

// Open opens a session. The peer learns of it with the first Write or Read. Open waits,
// until ctx ends, while the peer's HELLO has yet to come, if the peer made the
// connection, and while as many sessions are open as the peer permits. It fails if the
// peer permits none, or the conn has ended, is going away or has used up its numbers.
// Waiting calls are served in no particular order.
func (c *Conn) Open(ctx context.Context) (Session, error) {
	s, err := c.conn.Open(ctx)
	if err != nil {
		return nil, err // not a nil *conn.Session
	}
	return s, nil
}

// Accept waits for the next session that the peer opens. Once the conn has ended and
// every session was returned, it returns net.ErrClosed, or why the conn was lost.
func (c *Conn) Accept() (net.Conn, error) { return c.conn.Accept() }

// Peer returns the name in the peer's certificate or, if it has none, the address.
func (c *Conn) Peer() string { return c.conn.Peer() }

// Done returns a channel that is closed when the conn has ended.
func (c *Conn) Done() <-chan struct{} { return c.conn.Done() }

// GoAway tells the peer why this end wants no more sessions; code.OK is the ordinary end.
// Neither end opens sessions from then on, except those that were on their way, open ones
// go on, and behind the last one the conn ends. GoAway does not wait.
func (c *Conn) GoAway(why code.Code, text string) { c.conn.GoAway(why, text) }

// Close ends the conn and its sessions at once, and waits for the goroutines that serve
// it.
func (c *Conn) Close() error { return c.conn.Close() }
