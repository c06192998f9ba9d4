package remux

import (
	"net"
	"time"
)

// connHooks are called when something happens to a conn, with no lock held; see
// remux.Hooks, whose fields of the same names they are. Any may be nil.
type connHooks struct {
	ConnOpened    func(ID, net.Conn)
	ConnClosed    func(ID, net.Conn, time.Duration, error)
	SessionOpened func(ID)
	SessionClosed func(ID, error)
	ConnBarred    func(ID, error)
	Refused       func(client, remote string, why error)
}

func (h *connHooks) connOpened(c *Conn) {
	if h != nil && h.ConnOpened != nil {
		h.ConnOpened(c.connID(), c.nc)
	}
}

func (h *connHooks) connClosed(c *Conn, err error) {
	if h != nil && h.ConnClosed != nil {
		h.ConnClosed(c.connID(), c.nc, c.age(), err)
	}
}

func (h *connHooks) sessionOpened(id ID) {
	if h != nil && h.SessionOpened != nil {
		h.SessionOpened(id)
	}
}

func (h *connHooks) sessionClosed(id ID, err error) {
	if h != nil && h.SessionClosed != nil {
		h.SessionClosed(id, err)
	}
}

func (h *connHooks) connBarred(id ID, err error) {
	if h != nil && h.ConnBarred != nil {
		h.ConnBarred(id, err)
	}
}

func (h *connHooks) refused(client, remote string, why error) {
	if h != nil && h.Refused != nil {
		h.Refused(client, remote, why)
	}
}
