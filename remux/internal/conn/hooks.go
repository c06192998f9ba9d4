package conn

import (
	"net"
	"time"
)

// Hooks are called when something happens to a conn, with no lock held; see the fields of
// the same names in remux.Hooks. Any may be nil.
type Hooks struct {
	ConnOpened    func(ID, net.Conn)
	ConnClosed    func(ID, net.Conn, time.Duration, error)
	SessionOpened func(ID)
	SessionClosed func(ID, error)
	ConnBarred    func(ID, error)
	Refused       func(client, remote string, why error)
}

func (h *Hooks) connOpened(c *Conn) {
	if h != nil && h.ConnOpened != nil {
		h.ConnOpened(c.connID(), c.nc)
	}
}

func (h *Hooks) connClosed(c *Conn, err error) {
	if h != nil && h.ConnClosed != nil {
		h.ConnClosed(c.connID(), c.nc, c.Age(), err)
	}
}

func (h *Hooks) sessionOpened(id ID) {
	if h != nil && h.SessionOpened != nil {
		h.SessionOpened(id)
	}
}

func (h *Hooks) sessionClosed(id ID, err error) {
	if h != nil && h.SessionClosed != nil {
		h.SessionClosed(id, err)
	}
}

func (h *Hooks) connBarred(id ID, err error) {
	if h != nil && h.ConnBarred != nil {
		h.ConnBarred(id, err)
	}
}

func (h *Hooks) refused(client, remote string, why error) {
	if h != nil && h.Refused != nil {
		h.Refused(client, remote, why)
	}
}
