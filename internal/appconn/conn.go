// Package appconn implements the parts that all doors share: the application's
// connection, the single answer to its request, authentication, and the rejection of
// invalid requests.
package appconn

import (
	"errors"
	"net"
	"syscall"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// Conn is an application's connection after its greeting. In addition to net.Conn's
// methods, it supports closing one direction, resetting, and waiting for data without a
// buffer, if the underlying connection does.
type Conn struct {
	net.Conn
	early []byte // received after the request and unread; owned by the reading goroutine
}

// New returns a Conn whose Read returns early before bytes from c.
func New(c net.Conn, early []byte) *Conn { return &Conn{Conn: c, early: early} }

// TakeEarly returns the early bytes that are still unread. Read no longer returns them.
func (c *Conn) TakeEarly() []byte {
	b := c.early
	c.early = nil
	return b
}

// SetEarly makes Read return b before bytes from the underlying connection. All earlier
// bytes must have been read.
func (c *Conn) SetEarly(b []byte) { c.early = b }

// Read returns the early bytes first.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil // release its memory
	}
	return n, nil
}

// CloseWrite closes the direction to the application.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger sets the linger time of the underlying socket, if it is TCP.
func (c *Conn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Reset ends the connection with an error for the application.
func (c *Conn) Reset(why code.Code, text string) error {
	splice.Abort(c.Conn, why, text)
	return nil
}

// WaitReadable returns once Read would not block (splice.Waiter).
func (c *Conn) WaitReadable() error {
	if len(c.early) > 0 {
		return nil
	}
	if w, ok := c.Conn.(splice.Waiter); ok {
		return w.WaitReadable()
	}
	return errors.ErrUnsupported
}

// SyscallConn returns the underlying socket. It fails until the early bytes have been
// read, because reading directly from the socket would skip them.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok && len(c.early) == 0 {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
