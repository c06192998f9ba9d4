package remux

import (
	"net"
	"time"

	"tunnels/remux/internal/conn"
)

// Hooks report the events of a pool, a listener or a conn. Any may be nil. They are
// called concurrently, with no lock held, and must return quickly. The opening of a conn
// or session is always reported before its closing.
type Hooks struct {
	// ConnOpened and ConnClosed are passed the lower connection, which identifies the
	// peer; it must not be read or written.
	ConnOpened func(ID, net.Conn)
	// ConnClosed is also passed how long the conn was open and an error, which is nil if
	// it closed cleanly.
	ConnClosed    func(ID, net.Conn, time.Duration, error)
	SessionOpened func(ID)
	SessionClosed func(ID, error) // the error is nil if both ends finished
	// ConnBarred is called, at most once per conn, with the reason its peer may open no
	// more sessions; open ones continue.
	ConnBarred func(ID, error)
	// Refused is called for a lower connection that is rejected or closed because there
	// is no room for it or because it is unused. client is the name in its certificate,
	// or else its address.
	Refused func(client, remote string, why error)
	// DialDone is called after every attempt to open a conn.
	DialDone func(address string, took time.Duration, err error)
	// StateChanged is called when the result of Pool.Health may have changed because a
	// dial completed, or because a conn received its first frame or was lost.
	StateChanged func()
}

// conn returns the hooks that a conn calls, or nil if there are none.
func (h *Hooks) conn() *conn.Hooks {
	if h == nil {
		return nil
	}
	return &conn.Hooks{
		ConnOpened: h.ConnOpened, ConnClosed: h.ConnClosed,
		SessionOpened: h.SessionOpened, SessionClosed: h.SessionClosed,
		ConnBarred: h.ConnBarred, Refused: h.Refused,
	}
}

func (h *Hooks) dialDone(address string, took time.Duration, err error) {
	if h != nil && h.DialDone != nil {
		h.DialDone(address, took, err)
	}
}

func (h *Hooks) refused(client, remote string, why error) {
	if h != nil && h.Refused != nil {
		h.Refused(client, remote, why)
	}
}

func (h *Hooks) stateChanged() {
	if h != nil && h.StateChanged != nil {
		h.StateChanged()
	}
}
