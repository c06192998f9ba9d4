package tunnel

import (
	"cmp"
	"errors"
	"net"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/tls"
)

// Events holds the hooks a Client or Server calls; set it in Config.Events.
type Events = events.Events

// Request is one request with its byte counts, as reported by Events.
type Request = events.Request

// Live is a snapshot of a Request, as returned by Sessions.
type Live = events.Live

// subscribe returns Events that call both the table and cfg's own subscriber.
func (c *Config) subscribe(table *events.Table) *Events {
	return events.Join(table.Events(), c.Events)
}

// remuxHooks returns hooks that report the events of a pool or listener. peer returns a
// description of a conn's other end.
func remuxHooks(e *Events, peer func(lower net.Conn) events.Conn) *remux.Hooks {
	conn := func(id remux.ID, lower net.Conn) events.Conn {
		c := peer(lower)
		c.ID = id
		return c
	}
	return &remux.Hooks{
		ConnOpened: func(id remux.ID, lower net.Conn) { e.ConnOpened(conn(id, lower)) },
		ConnClosed: func(id remux.ID, lower net.Conn, lasted time.Duration, err error) {
			e.ConnClosed(conn(id, lower), lasted, err)
		},
		ConnBarred:    func(id remux.ID, err error) { e.ConnBarred(events.Conn{ID: id}, err) },
		SessionOpened: e.SessionOpened,
		SessionClosed: e.SessionClosed,
		DialDone:      e.ServerDialed,
	}
}

// clientOf returns a description of the client at the other end of a server's conn.
func clientOf(lower net.Conn) events.Conn {
	return events.Conn{Client: peerOf(lower), From: lower.RemoteAddr().String()}
}

// tlsHooks returns hooks that report the events of package tls.
func tlsHooks(e *Events) *tls.Hooks {
	return &tls.Hooks{
		Rejected: e.PeerRejected,
		Reloaded: func(what string, err error) { e.FileLoaded(events.Certificates, what, err) },
		Warning:  e.Warning,
	}
}

// upstreamHooks returns hooks that report which server is in use.
func upstreamHooks(e *Events) upstream.Hooks {
	return upstream.Hooks{Silent: e.ServerSilent, Answers: e.ServerAnswers, Using: e.ServerChosen}
}

// rejected reports an application's connection without a usable request.
func (c *Client) rejected(from string, err error) {
	from = cmp.Or(from, "unknown")
	if why, _ := code.Of(err); why == code.NotAuthorised && !errors.Is(err, eagersocks.ErrMistake) && !errors.Is(err, eagersocks.ErrBug) {
		c.events.LoginRejected(from, err)
		return
	}
	c.events.DoorRejected(from, err)
}
