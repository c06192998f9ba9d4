// Package entry carries applications' requests to a server. It is the client's
// counterpart to package exit.
package entry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/httpdoor"
	"tunnels/internal/lifecycle"
	"tunnels/internal/splice"
	"tunnels/internal/upstream"
	"tunnels/tls"
)

// replyGrace is added to the target's timeout to allow for the reply's travel time.
const replyGrace = 5 * time.Second

// Config configures an Entry.
type Config struct {
	Servers *upstream.Set
	Eager   *eagersocks.Eagerness
	Events  *events.Events // no hook is nil; see events.Join
	Work    *lifecycle.Work
	Mux     bool          // requests are remux sessions
	Timeout time.Duration // for dials, not counting the reply's travel time

	Rejected func(from string, err error) // called for a connection without a usable request
	Draining context.Context              // done when new requests are no longer accepted
}

// Entry carries requests. Its fields are immutable after creation; its methods may be
// called from any goroutine.
type Entry struct {
	servers  *upstream.Set
	eager    *eagersocks.Eagerness
	events   *events.Events
	work     *lifecycle.Work
	mux      bool
	timeout  time.Duration
	rejected func(from string, err error)
	ctx      context.Context // cancels dials
	draining context.Context
	udp      udpRefusal
}

// New returns an Entry whose dials are canceled with ctx.
func New(ctx context.Context, c Config) *Entry {
	return &Entry{
		servers: c.Servers, eager: c.Eager, events: c.Events, work: c.Work, mux: c.Mux,
		timeout: c.Timeout, rejected: c.Rejected, ctx: ctx, draining: c.Draining,
	}
}

// Serve answers one application's request and carries it to a server. It returns a
// function that carries the bytes, or nil if there are none to carry.
func (e *Entry) Serve(app net.Conn, req *eagersocks.Request) (carry func()) {
	if web, ok := app.(*httpdoor.Conn); ok {
		return func() { e.serveWeb(web) }
	}
	if req.Command == eagersocks.UDP {
		return e.associate(app, req)
	}
	r := e.accept(req.Target.String())
	eager := e.eager.Eager(req)
	if eager {
		splice.ResetOnDeath(app)
		if err := req.Reply(); err != nil {
			splice.Abort(app, code.Cancelled, "")
			e.start(r)
			e.events.RequestClosed(r, events.End{Err: err, Cancelled: true})
			return nil
		}
	}
	far, err := e.request(req, r, eager)
	if err != nil {
		why := serverError(err)
		if eager {
			splice.Abort(app, why.Code, why.Text)
		} else {
			_ = req.Refuse(why.Code, why.Text)
		}
		e.unserved(r, err)
		return nil
	}
	e.start(r)
	if !eager {
		if err := req.Reply(); err != nil {
			splice.Abort(far, code.Cancelled, "")
			splice.Abort(app, code.Cancelled, "")
			e.events.RequestClosed(r, events.End{Err: err, Cancelled: true})
			return nil
		}
	}
	e.work.Join(app, far)
	return func() { e.carry(r, req, app.(splice.Stream), far, eager) }
}

// carry copies data in both directions until the connection ends.
func (e *Entry) carry(r *events.Request, req *eagersocks.Request, app, far splice.Stream, eager bool) {
	r.Up.Add(int64(len(req.Early())))
	pair := splice.Pair{A: app, B: far, WhenAFails: code.Cancelled, WhenBFails: code.General}
	pair.FromA.Moved = &r.Up
	pair.FromB = splice.Flow{Moved: &r.Down, First: func() { e.answeredFirst(r) }}
	if eager {
		pair.FromB.Failed = func(err error) { e.failed(req.Target, err) }
	}
	result := pair.Join()
	e.events.RequestClosed(r, events.End{Err: result.Err, Cancelled: result.Failed == splice.A})
}

// accept reports a new request. The request starts immediately unless no server can be
// reached; see unserved.
func (e *Entry) accept(target string) *events.Request {
	r := events.NewRequest("", target)
	r.Plain = !e.mux
	e.events.RequestAccepted(r)
	if e.servers.Reachable() {
		e.start(r)
	}
	return r
}

// start reports that a request has started, unless it has already been reported.
func (e *Entry) start(r *events.Request) {
	if r.Start() {
		e.events.RequestStarted(r)
	}
}

// answeredFirst reports that the target's first byte has arrived.
func (e *Entry) answeredFirst(r *events.Request) {
	r.Answered()
	e.events.RequestAnswered(r)
}

// unserved reports the end of a request that could not be carried.
func (e *Entry) unserved(r *events.Request, err error) {
	_, unreached := errors.AsType[upstream.Unreached](err)
	_, uncertified := errors.AsType[*tls.CertificateError](err)
	e.events.RequestClosed(r, events.End{Err: err, Unreached: unreached || uncertified})
}

// failed remembers that an eager request failed before its target sent anything, so that
// the next one for that target waits for the exit's reply. Without remux, there is no
// code to tell whether the target or the tunnel failed.
func (e *Entry) failed(target eagersocks.Address, err error) {
	why, ok := errors.AsType[*code.Error](err)
	switch {
	case ok:
		e.eager.Failed(target, why.Code, why.Text)
	case !e.mux:
		e.eager.Failed(target, code.General, "")
	}
}

// request sends req to a server, along with the bytes the application has already sent,
// and waits for the reply unless the request is eager.
func (e *Entry) request(req *eagersocks.Request, r *events.Request, eager bool) (splice.Stream, error) {
	a, err := e.newAttempt(req, r, eager)
	if err != nil {
		return nil, err
	}
	far, err := a.next(e.ctx)
	if err != nil {
		return nil, err
	}
	if req.Command != eagersocks.Connect || len(a.early) > 0 || !e.mux || e.servers.Single() {
		return far, nil
	}
	return upstream.NewFailoverStream(e.ctx, far, a.next), nil
}

// open returns a stream to the best server for one request.
func (e *Entry) open(ctx context.Context, r *events.Request) (splice.Stream, error) {
	way, err := e.servers.Open(ctx, map[*upstream.Server]bool{})
	if err != nil {
		return nil, err
	}
	r.Via(way.Server.Address)
	return way.Stream, nil
}

// answered reads the exit's reply.
func (e *Entry) answered(far net.Conn, target eagersocks.Address) error {
	_ = far.SetReadDeadline(time.Now().Add(e.timeout + replyGrace))
	why, err := eagersocks.ReadReply(far)
	if err != nil {
		return fmt.Errorf("waiting for the exit's reply: %w", err)
	}
	_ = far.SetReadDeadline(time.Time{})
	if why != code.OK {
		// A reply, unlike a reset, carries no text; an earlier reset's text may be
		// remembered.
		text := e.eager.Why(target, why)
		e.eager.Failed(target, why, text)
		return &code.Error{Code: why, Text: text, Remote: true}
	}
	e.eager.Succeeded(target)
	return nil
}

// serverError returns the error to report to the application for a failed request: the
// exit's own error if there is one, else a general failure.
func serverError(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: code.General, Text: err.Error()}
}
