package remux

import (
	"net"

	"tunnels/internal/code"
	"tunnels/internal/splice"
	"tunnels/remux/internal/conn"
)

// Session is one bidirectional byte stream on a conn: a [net.Conn] with half-close that
// can be reset with a reason. All methods are safe for concurrent use; only Read, Peek
// and Write block.
//
// An error from Read or Write that is not io.EOF, a deadline or net.ErrClosed means
// that the session did not end cleanly: bytes may be missing. If the peer gave a
// reason, the error is a *code.Error.
type Session interface {
	splice.Stream
	splice.Peeker
	splice.SinkSetter
	splice.Sleeper
	splice.Ender

	// Reset ends both directions immediately; the peer's application sees an error with
	// this code and text (truncated to 512 bytes), never a clean end. Bytes that the peer
	// has not read are lost, except with code.TargetReset.
	Reset(why code.Code, text string) error
	// Done returns a channel that is closed when both directions have ended, cleanly or
	// not. Nothing written after that can be delivered.
	Done() <-chan struct{}
	// ID identifies the session in the logs of both ends.
	ID() ID
	// Lower returns the connection that carries the session's conn, which identifies the
	// peer. It must not be read, written or closed.
	Lower() net.Conn
}

// ID identifies a conn or a session on it. Its fields are Conn, a uint32, and Number, a
// uint16, which is 0 for the conn itself. Both ends use the same IDs. String returns the
// form used in logs: 8f7ed46a, or 8f7ed46a:1 for a session.
type ID = conn.ID

var _ Session = (*conn.Session)(nil)
