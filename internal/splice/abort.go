package splice

import (
	"net"

	"tunnels/internal/code"
)

// Abort ends c abruptly and at once, so that its peer sees an error and not an
// end of file. A code.Resetter is told why; a connection with an Abort method
// has that called; TCP sends RST, also beneath a connection that says by a
// NetConn method what it runs on. Anything else is closed: a UNIX socket has no
// way to say more. Abort never waits for the peer. Further calls do nothing.
func Abort(c net.Conn, why code.Code, text string) {
	// Errors say that c has ended already, which is what is wanted.
	switch c := c.(type) {
	case code.Resetter:
		_ = c.Reset(why, text)
	case interface{ Abort() error }:
		_ = c.Abort()
	case interface{ SetLinger(sec int) error }:
		_ = c.SetLinger(0)
		_ = c.(net.Conn).Close()
	case interface{ NetConn() net.Conn }:
		// Not its own Close: a TLS connection's sends an alert first and waits.
		Abort(c.NetConn(), why, text)
	default:
		_ = c.Close()
	}
}
