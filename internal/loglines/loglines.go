// Package loglines writes events to the service log. Each event is one line, except
// that repeated events are counted and the count is logged later.
package loglines

import (
	"errors"
	"net"
	"sync"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/netx"
	"tunnels/internal/rules"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// Writer writes the log lines of one client and one server. Its methods are safe for
// concurrent use.
type Writer struct {
	// Immutable after creation.
	log      *sla.Logger
	refused  *refusals // requests refused by the server's limits and rules
	mistakes *refusals // users' mistakes on connections to a client's door
	away     *refusals // requests that fail because no server can be reached

	mu      sync.Mutex
	servers map[string]*serverLines // guarded by mu; by server address, or "" for a server's conns

	congestion congestionLines // does its own locking
}

// New returns a Writer that writes to log. The caller must close it before closing log.
func New(log *sla.Logger) *Writer {
	return &Writer{
		log:      log,
		refused:  newRefusals(log, "refused client"),
		mistakes: newRefusals(log, "no request from"),
		away:     newRefusals(log, "requests"),
		servers:  map[string]*serverLines{},
	}
}

// Close logs the pending counts of repeated events.
func (w *Writer) Close() {
	w.refused.close()
	w.mistakes.close()
	w.away.close()
}

// Events returns the hooks that write the log lines.
func (w *Writer) Events() *events.Events {
	log := w.log
	return &events.Events{
		ConnOpened: func(c events.Conn) { log.Opened(sla.Conn, c.ID.String(), sla.Fields{Client: c.Client, From: c.From}) },
		ConnClosed: w.connClosed,
		ConnBarred: func(c events.Conn, err error) { log.Warn("conn %s accepts no new sessions: %v", c.ID, err) },
		ConnRefused: func(client, from string, err error) {
			log.Debug("conn from client %s at %s refused: %v", client, from, err)
		},
		SessionOpened: func(id remux.ID) { log.Opened(sla.Sess, id.String()) },
		SessionClosed: w.sessionClosed,

		RequestStarted:   w.opened,
		RequestClosed:    w.requestClosed,
		RequestRefused:   func(_ admission.Refusal, client string, err error) { w.refused.client(client, err) },
		DatagramsFailed:  w.datagramsFailed,
		TargetsForgotten: w.targetsForgotten,

		ServerDialed:  func(address string, _ time.Duration, err error) { w.server(address).dialed(log, address, err) },
		ServerSilent:  func(address string, err error) { log.Warn("server %s is not responding: %v", address, err) },
		ServerAnswers: func(address string) { log.Info("server %s is responding again", address) },
		ServerChosen:  w.serverChosen,

		CongestionChosen: func(use netx.CongestionUse) { w.congestion.chosen(log, use) },

		PeerRejected:   w.peerRejected,
		DoorRejected:   w.doorRejected,
		LoginRejected:  func(from string, err error) { log.Warn("no request from %s: %v", from, err) },
		RequestInvalid: w.requestInvalid,
		DoorFailed:     func(_ string, err error) { log.Debug("HTTP connection: %v", err) },

		FileLoaded:     w.fileLoaded,
		ListenerFailed: func(err error) { log.Error("%v", err) },
		Warning:        func(text string) { log.Warn("%s", text) },
	}
}

// server returns the serverLines for the server at address.
func (w *Writer) server(address string) *serverLines {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.servers[address]
	if s == nil {
		s = new(serverLines)
		w.servers[address] = s
	}
	return s
}

// connClosed logs that a conn was closed. If the client is no longer accepted,
// PeerRejected has reported that, so it is not an error here. A server that refuses
// this client's certificate refuses every conn, so that is logged as an error only
// occasionally.
func (w *Writer) connClosed(c events.Conn, lasted time.Duration, err error) {
	f := sla.Fields{Client: c.Client, Lasted: lasted}
	if errors.Is(err, tls.ErrDismissed) || isRefused(err) && !w.server(c.Server).firstRefusal() {
		w.log.ClosedAs(sla.Conn, c.ID.String(), sla.LevelInfo, err.Error(), f)
		return
	}
	w.log.Closed(sla.Conn, c.ID.String(), err, f)
}

// sessionClosed logs that a session was closed. Failures caused by the target or
// application are covered by the sock's line, and the loss of the conn by the conn's
// line.
func (w *Writer) sessionClosed(id remux.ID, err error) {
	why, ok := code.Of(err)
	switch {
	case ok && (why <= code.AddressUnsupported || why == code.Cancelled || why == code.TargetReset), isRefused(err):
		w.log.ClosedAs(sla.Sess, id.String(), sla.LevelDebug, err.Error())
	case errors.Is(err, tls.ErrDismissed): // see connClosed
		w.log.ClosedAs(sla.Sess, id.String(), sla.LevelInfo, err.Error())
	default:
		w.log.Closed(sla.Sess, id.String(), err)
	}
}

// peerRejected logs a failed TLS handshake or, if from is empty, a failure to accept
// connections.
func (w *Writer) peerRejected(from string, err error) {
	switch {
	case from == "":
		w.log.Error("accepting clients: %v", err)
	case errors.Is(err, tls.ErrSilent): // such probes are frequent
		w.log.Debug("client at %s refused: %v", from, err)
	default:
		w.log.Warn("client at %s refused: %v", from, err)
	}
}

// doorRejected logs a connection to a client's door on which no valid request arrived.
// Users' mistakes are logged as warnings; port scans and browsers' unused connections
// are not, because they are too frequent.
func (w *Writer) doorRejected(from string, err error) {
	if errors.Is(err, eagersocks.ErrMistake) {
		w.mistakes.add(hostOf(from), err)
		return
	}
	w.requestInvalid(from, err)
}

// requestInvalid logs a session or connection without a valid request.
func (w *Writer) requestInvalid(from string, err error) {
	if errors.Is(err, eagersocks.ErrBug) {
		w.log.Warn("no request from %s: %v", from, err)
		w.log.Error("a request could not be read because of a bug in tunnels; see the previous line")
		return
	}
	if w.log.Enabled(sla.LevelDebug) {
		w.log.Debug("no request from %s: %v", from, err)
	}
}

// serverChosen logs a change of the server in use.
func (w *Writer) serverChosen(chosen, old upstream.Distance) {
	if old.Address == "" {
		w.log.Info("using server %s (%s)", chosen.Address, chosen.Text)
		return
	}
	w.log.Info("using server %s (%s) instead of %s (%s)", chosen.Address, chosen.Text, old.Address, old.Text)
}

// fileLoaded logs that a file was reloaded, or why reloading failed.
func (w *Writer) fileLoaded(file events.File, name string, err error) {
	what := name
	if file != events.Certificates {
		what = string(file)
	}
	switch {
	case err != nil && file == events.Rules:
		w.log.Error("reloading %s failed: %s; keeping the previous ones", what, rules.OneLine(err))
	case err != nil:
		w.log.Error("reloading %s failed: %v; keeping the previous ones", what, err)
	case file == events.Rules:
		w.log.Info("reloaded rules (%s)", name)
	default:
		w.log.Info("reloaded %s", what)
	}
}

// hostOf returns remote without its port, which is different for each connection.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}
