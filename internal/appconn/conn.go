// Package appconn is the side that asks, as all doors see it: an application's
// connection, the one answer that its request is owed, who may ask, and how a
// connection that asks wrongly is turned away.
package appconn

import (
	"errors"
	"net"
	"syscall"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// Conn is an application's connection after its greeting. In addition to net.Conn's
// methods it can end one direction, be aborted, and be waited for without a buffer,
// as far as the connection beneath can.
type Conn struct {
	net.Conn
	early []byte // came behind the request and is unread; owned by the reading goroutine
}

// New returns a Conn whose Read returns early before what comes from c.
func New(c net.Conn, early []byte) *Conn { return &Conn{Conn: c, early: early} }

// TakeEarly returns the early bytes that are still unread. Read does not return them
// any more.
func (c *Conn) TakeEarly() []byte {
	b := c.early
	c.early = nil
	return b
}

// SetEarly has Read return b before what comes from the connection beneath. All
// earlier bytes must have been read.
func (c *Conn) SetEarly(b []byte) { c.early = b }

// Read returns the early bytes first.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil // lets go of its memory
	}
	return n, nil
}

// CloseWrite ends the direction to the application.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger sets the linger time of the socket beneath, if it is TCP.
func (c *Conn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Reset ends the connection so that the application sees an error.
func (c *Conn) Reset(why code.Code, text string) error {
	splice.Abort(c.Conn, why, text)
	return nil
}

// WaitReadable returns when Read would not block (splice.Waiter).
func (c *Conn) WaitReadable() error {
	if len(c.early) > 0 {
		return nil
	}
	if w, ok := c.Conn.(splice.Waiter); ok {
		return w.WaitReadable()
	}
	return errors.ErrUnsupported
}

// SyscallConn returns the socket beneath, once the early bytes have been read:
// reading from the socket itself would skip them.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok && len(c.early) == 0 {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
