package splice

import (
	"net"

	"tunnels/internal/code"
)

// Abort ends c abruptly, so that its peer sees an error rather than end of file. If c
// is a code.Resetter, Abort calls Reset with the code and text; if it has an Abort
// method, Abort calls that. A TCP connection, or one whose NetConn method returns one,
// sends RST. Anything else is closed, since a UNIX socket has no reset. Abort never
// waits for the peer. Further calls do nothing.
func Abort(c net.Conn, why code.Code, text string) {
	// Ignore errors, which mean that c has already ended.
	switch c := c.(type) {
	case code.Resetter:
		_ = c.Reset(why, text)
	case interface{ Abort() error }:
		_ = c.Abort()
	case interface{ SetLinger(sec int) error }:
		_ = c.SetLinger(0)
		_ = c.(net.Conn).Close()
	case interface{ NetConn() net.Conn }:
		// Don't call c.Close: on a TLS connection it first sends an alert, which can
		// block.
		Abort(c.NetConn(), why, text)
	default:
		_ = c.Close()
	}
}
