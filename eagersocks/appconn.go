package eagersocks

import (
	"errors"
	"net"
	"syscall"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// appConn is an application's connection after its greeting. Beside what net.Conn
// has, it can end one direction, be aborted, and be waited for without a buffer,
// as far as the connection beneath can.
type appConn struct {
	net.Conn
	// early is what came behind the request and nobody has read.
	// Owned by who reads from the connection.
	early []byte
}

func (c *appConn) takeEarly() []byte {
	b := c.early
	c.early = nil
	return b
}

// Read returns the early bytes first.
func (c *appConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil // lets go of its memory
	}
	return n, nil
}

// CloseWrite tells the application that nothing more comes.
func (c *appConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger is that of the socket beneath, if it is TCP.
func (c *appConn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Reset ends the connection so that the application sees an error.
func (c *appConn) Reset(why code.Code, text string) error {
	splice.Abort(c.Conn, why, text)
	return nil
}

// WaitReadable returns when Read would not block (splice.Waiter).
func (c *appConn) WaitReadable() error {
	if len(c.early) > 0 {
		return nil
	}
	if w, ok := c.Conn.(splice.Waiter); ok {
		return w.WaitReadable()
	}
	return errors.ErrUnsupported
}

// SyscallConn is the socket beneath, once the early bytes have been read: what
// reads from the socket itself would pass them by.
func (c *appConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok && len(c.early) == 0 {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
