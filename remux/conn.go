package remux

import (
	"context"
	"net"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
)

// Conn is one lower connection and the sessions on it, which either end may open if the
// other permits it. All methods are safe for concurrent use.
type Conn struct{ conn *conn.Conn }

// NewConn creates a conn over nc and takes ownership of nc. dialed reports whether this
// end dialed nc or accepted it. The peer may have up to SessMax sessions open; Accept
// returns them. Close or GoAway closes the conn.
func (c Config) NewConn(nc net.Conn, dialed bool) *Conn {
	c = c.defaults()
	return &Conn{conn.Start(nc, c.conn(), dialed)}
}

// Open opens a session. The peer learns of it from the first Write or Read. Open waits,
// until ctx is done, for HELLO from a peer that dialed, and for room if the peer's limit
// on open sessions has been reached. It fails if the peer permits none, or if the conn
// has ended, is going away or has run out of session numbers. Waiting calls are served in
// no particular order.
func (c *Conn) Open(ctx context.Context) (Session, error) {
	s, err := c.conn.Open(ctx)
	if err != nil {
		return nil, err // not a nil *conn.Session
	}
	return s, nil
}

// Accept waits for the next session that the peer opens. Once the conn has ended and all
// sessions have been returned, it returns net.ErrClosed, or the reason the conn was lost.
func (c *Conn) Accept() (net.Conn, error) { return c.conn.Accept() }

// Peer returns the name in the peer's certificate or, if it has none, the address.
func (c *Conn) Peer() string { return c.conn.Peer() }

// Done returns a channel that is closed when the conn has ended.
func (c *Conn) Done() <-chan struct{} { return c.conn.Done() }

// GoAway tells the peer that this end accepts no more sessions, and why; code.OK means an
// ordinary shutdown. After that, neither end opens sessions, apart from any already in
// flight. Open sessions continue, and the conn closes after the last one. GoAway does not
// block.
func (c *Conn) GoAway(why code.Code, text string) { c.conn.GoAway(why, text) }

// Close closes the conn and its sessions immediately, and waits for the goroutines that
// serve it.
func (c *Conn) Close() error { return c.conn.Close() }
