package remux

import (
	"fmt"
	"net"
	"time"
)

// ConnID names a conn; both ends know it by the same number.
type ConnID uint32

// String is the id as the log shows it: 8 hex digits.
func (id ConnID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// SessionID names a session on its conn.
type SessionID struct {
	Conn   ConnID
	Number uint16
}

// String is the id as the log shows it: 8f7ed46a:1.
func (id SessionID) String() string { return fmt.Sprintf("%08x:%d", uint32(id.Conn), id.Number) }

// Hooks are told what happens in a pool or listener. Any may be nil. They are
// called from many goroutines, with no lock held, must return soon, and of one
// conn or session the opening is always told before the closing.
type Hooks struct {
	// ConnOpened and ConnClosed are given the lower connection, to say who is at
	// its other end; it is not to be read or written.
	ConnOpened func(ConnID, net.Conn)
	// ConnClosed is also told for how long it was open; no error: a clean end.
	ConnClosed    func(ConnID, net.Conn, time.Duration, error)
	SessionOpened func(SessionID)
	SessionClosed func(SessionID, error) // nil: both ends had finished
	// ConnBarred is told, once for each conn, why its peer may open no more
	// sessions; those that run go on.
	ConnBarred func(ConnID, error)
	// Refused is called for a lower connection that is turned away or cut because
	// there is no room for it, or because it is not used. client is the name in its
	// certificate or else its address.
	Refused func(client, remote string, why error)
	// DialDone is told of every attempt to make a conn.
	DialDone func(address string, took time.Duration, err error)
	// Turned is told whenever Pool.Look may say something else than before
	// because a dial has ended or a conn was greeted or lost.
	Turned func()
}

func (h *Hooks) connOpened(c *conn) {
	if h != nil && h.ConnOpened != nil {
		h.ConnOpened(c.connID(), c.nc)
	}
}

func (h *Hooks) connClosed(c *conn, err error) {
	if h != nil && h.ConnClosed != nil {
		h.ConnClosed(c.connID(), c.nc, c.age(), err)
	}
}

func (h *Hooks) sessionOpened(id SessionID) {
	if h != nil && h.SessionOpened != nil {
		h.SessionOpened(id)
	}
}

func (h *Hooks) sessionClosed(id SessionID, err error) {
	if h != nil && h.SessionClosed != nil {
		h.SessionClosed(id, err)
	}
}

func (h *Hooks) dialDone(address string, took time.Duration, err error) {
	if h != nil && h.DialDone != nil {
		h.DialDone(address, took, err)
	}
}

func (h *Hooks) connBarred(id ConnID, err error) {
	if h != nil && h.ConnBarred != nil {
		h.ConnBarred(id, err)
	}
}

func (h *Hooks) refused(client, remote string, why error) {
	if h != nil && h.Refused != nil {
		h.Refused(client, remote, why)
	}
}

func (h *Hooks) turned() {
	if h != nil && h.Turned != nil {
		h.Turned()
	}
}
