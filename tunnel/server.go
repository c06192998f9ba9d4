package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/exit"
	"tunnels/internal/lifecycle"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/resolve"
	"tunnels/internal/rules"
	"tunnels/internal/splice"
	"tunnels/internal/trim"
	"tunnels/remux"
	"tunnels/tls"
)

// Server is the exit: it accepts requests from clients and connects them to their
// targets. Its methods are safe for concurrent use; it listens and serves only once.
type Server struct {
	// Immutable after construction.
	cfg     Config
	way     way
	events  *Events
	live    events.Table
	exit    *exit.Exit
	policy  *policy.Exit
	rules   *rules.File // or nil
	clients *admission.Clients
	tls     *tls.Server // nil unless clients connect over TLS
	ctx     context.Context
	cancel  context.CancelFunc // cancels dials

	stage lifecycle.Stage

	// Set by Listen, then immutable; see stage.
	lower    net.Listener
	sessions *remux.SessionListener // nil without remux
	requests eagersocks.Listener

	work lifecycle.Work
}

// NewServer checks cfg and reads the certificates. It does not listen yet.
func NewServer(cfg Config) (*Server, error) {
	w, err := cfg.way()
	if err != nil {
		return nil, err
	}
	cfg.Remux.Budget = cmp.Or(cfg.Remux.Budget, remux.NewBudget(cfg.Remux.BudgetMax))
	s := &Server{cfg: cfg, way: w}
	s.events = cfg.subscribe(&s.live)
	s.work.Memory = trim.New(s.work.Count, func() (now, peak int64) {
		now, peak, _ = cfg.Remux.Budget.Usage()
		return now, peak
	})
	if err := s.admit(); err != nil {
		return nil, err
	}
	s.exit = exit.New(resolve.New(cfg.DNS), cfg.dialTimeout())
	if w.secured {
		conf := cfg.ServerTLS
		conf.Protocol = w.protocol()
		conf.Hooks = tlsHooks(s.events)
		if s.tls, err = tls.NewServer(conf); err != nil {
			s.exit.Close()
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// admit reads the clients' rules and limits.
func (s *Server) admit() (err error) {
	s.policy = &policy.Exit{Allow: s.cfg.Allow, Deny: s.cfg.Deny, Own: new(netx.Own).Has}
	if s.cfg.Rules != "" {
		if s.rules, err = rules.Open(s.cfg.Rules, func(err error) { s.events.FileLoaded(events.Rules, s.cfg.Rules, err) }); err != nil {
			return fmt.Errorf("%s: %w", s.rulesName(), err)
		}
	}
	s.clients = admission.New(admission.Config{
		Policy:  s.policy,
		Rules:   s.rules,
		SessMax: s.cfg.SessMax,
		Limits:  s.cfg.Limits,
		Refused: s.events.RequestRefused,
	})
	return nil
}

// rulesName returns the name of the rules file in messages.
func (s *Server) rulesName() string { return cmp.Or(s.cfg.Names.Rules, "the rules file") }

// Listen starts listening. Serve must follow. After Shutdown or Close, Listen returns
// ErrClosed.
func (s *Server) Listen() error { return s.stage.Listen(s.listen) }

func (s *Server) listen() error {
	carriers := netx.Config{Carrier: s.way.mux, Report: s.events.ListenerFailed, Tune: s.cfg.tune(s.events)}
	lower, err := carriers.Listen(s.ctx, s.way.network, s.way.address)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if s.tls != nil {
		lower = s.tls.Listener(lower)
	}
	s.lower = lower
	var from eagersocks.Acceptor = lower
	if s.way.mux {
		conf := s.cfg.Remux
		conf.Hooks = remuxHooks(s.events, clientOf)
		conf.Hooks.Refused = func(client, remote string, why error) {
			s.clients.Refuse(admission.RefusedConns, client, why)
			s.events.ConnRefused(client, remote, why)
		}
		s.sessions = conf.NewListener(lower)
		from = s.sessions
	}
	conf := s.cfg.Eager
	conf.Rejected = s.invalid
	s.requests = conf.NewListener(from)
	return nil
}

// Addr returns the address the server is listening on, or nil before Listen.
func (s *Server) Addr() net.Addr {
	if !s.stage.Ready() {
		return nil
	}
	return s.lower.Addr()
}

// ListenAndServe listens and serves until Shutdown or Close, then returns nil. If
// either was called before it listened, it returns ErrClosed.
func (s *Server) ListenAndServe() error {
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Serve()
}

// Serve serves clients until Shutdown or Close, then returns nil, even if one of them
// has already been called. It may be called only once, after Listen.
func (s *Server) Serve() error {
	if err := s.stage.Serve(); err != nil {
		return err
	}
	for {
		conn, req, err := s.requests.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting requests: %w", err)
		}
		s.work.Start(conn, func() func() { return s.serve(conn, req) })
	}
}

// Reload rereads the certificates and the rules, whether or not they have changed.
func (s *Server) Reload() error {
	err := s.rules.Reload()
	if err != nil {
		err = fmt.Errorf("%s: %s", s.rulesName(), rules.OneLine(err))
	}
	if s.tls != nil {
		err = errors.Join(s.tls.Reload(), err)
	}
	return err
}

// Refused returns the number of refused requests and datagrams, by reason.
func (s *Server) Refused() map[admission.Refusal]uint64 { return s.clients.Counts() }

// Shutdown stops accepting, waits for running requests until ctx is done, then resets
// the rest. The error reports how many were reset. Shutdown may be called more than once
// and may be followed by Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stage.Close()
	var err error
	if s.sessions != nil {
		// Even after all sessions and conns have ended, bytes may still be waiting here
		// for slow targets.
		if err = s.sessions.Shutdown(ctx); err == nil {
			s.requests.Close() // so that no request starts during Wait
			err = s.work.Wait(ctx)
		}
	} else if s.lower != nil {
		s.requests.Close()
		err = s.work.Wait(ctx)
	}
	s.close()
	return err
}

// Close aborts all requests and stops immediately.
func (s *Server) Close() {
	s.cancel() // interrupts a blocked Listen
	s.stage.Close()
	if s.sessions != nil {
		s.sessions.Close()
	}
	s.close()
}

func (s *Server) close() {
	s.cancel()
	if s.requests != nil {
		s.requests.Close()
	}
	s.work.Abort()
	s.exit.Close()
	if s.tls != nil {
		s.tls.Close()
	}
}

// serve connects one request to its target if the client is admitted. It returns a
// function that carries the bytes, or nil if there are none to carry.
func (s *Server) serve(conn net.Conn, req *eagersocks.Request) (carry func()) {
	g, err := s.clients.Admit(peerOf(conn), req.Target.String())
	if err != nil {
		_ = req.Refuse(code.NotAllowed, err.Error()) // if the client is gone, it needs no answer
		return nil
	}
	rest := s.connect(g, conn, req)
	if rest == nil {
		g.Leave()
		return nil
	}
	return func() {
		defer g.Leave()
		rest()
	}
}

// connect does the work of serve for an admitted client.
func (s *Server) connect(g *admission.Lease, conn net.Conn, req *eagersocks.Request) (carry func()) {
	if req.Command == eagersocks.UDP {
		return s.associate(g, conn, req)
	}
	if req.Command != eagersocks.Connect {
		why := &code.Error{Code: code.CommandUnsupported, Text: req.Command.String() + " is not supported"}
		_ = req.Refuse(why.Code, why.Text)
		r := s.accept(g, req.Target.String())
		s.start(r)
		s.events.RequestClosed(r, events.End{Err: why})
		return nil
	}
	r := s.accept(g, req.Target.String())
	a := attempt{Lease: g, s: s, r: r}
	target, took, err := s.dial(conn, g, &a, req.Target)
	r.Resolved(took.Resolve)
	r.Connected(took.Connect)
	if err != nil {
		why, _ := errors.AsType[*code.Error](err) // exit returns no other error type
		a.failed(why)                             // before answering, so that the reason is logged before the client sees the failure
		_ = req.Refuse(why.Code, why.Text)
		return nil
	}
	a.succeeded()
	s.events.RequestDialed(r)
	if err := req.Reply(); err != nil {
		splice.Abort(target, code.Cancelled, "")
		splice.Abort(conn, code.General, "")
		s.events.RequestClosed(r, events.End{Err: err})
		return nil
	}
	s.work.Join(conn, target)
	return func() { s.carry(r, g.Stream(conn.(splice.Stream), s.ctx.Done()), target) }
}

// carry copies data in both directions until the connection ends.
func (s *Server) carry(r *Request, conn, target splice.Stream) {
	result := splice.Pair{
		A: conn, B: target, WhenAFails: code.Cancelled, WhenBFails: code.TargetReset,
		FromA: splice.Flow{Moved: &r.Up},
		FromB: splice.Flow{Moved: &r.Down, First: func() { r.Answered(); s.events.RequestAnswered(r) }},
	}.Join()
	if result.Failed == splice.B {
		result.Err = targetError(result.Err)
	}
	why, _ := code.Of(result.Err)
	s.events.RequestClosed(r, events.End{Err: result.Err, Cancelled: result.Failed == splice.A && why == code.Cancelled})
}

// targetError adds code TargetReset to a system error on the target's connection, to
// show that the target caused it.
func targetError(err error) error {
	_, coded := code.Of(err)
	if err == nil || coded || errors.Is(err, net.ErrClosed) {
		return err
	}
	return &code.Error{Code: code.TargetReset, Text: err.Error()}
}

// accept reports an admitted client's request.
func (s *Server) accept(g *admission.Lease, target string) *Request {
	r := events.NewRequest(g.Name(), target)
	r.Plain = !s.way.mux
	s.events.RequestAccepted(r)
	return r
}

// start reports that a request has started, unless it has already been reported.
func (s *Server) start(r *Request) {
	if r.Start() {
		s.events.RequestStarted(r)
	}
}

// invalid reports a session or, without remux, a connection that sent no valid request.
func (s *Server) invalid(from string, err error) {
	if why, _ := code.Of(err); why == code.NotAuthorised && !errors.Is(err, eagersocks.ErrBug) {
		s.events.LoginRejected(from, err)
		return
	}
	s.events.RequestInvalid(from, err)
}

// dial connects to the target, giving up if the session ends.
func (s *Server) dial(conn net.Conn, g *admission.Lease, j exit.Judge, target eagersocks.Address) (splice.Stream, exit.Times, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if d, ok := conn.(interface{ Done() <-chan struct{} }); ok {
		watched := make(chan struct{})
		defer func() { cancel(); <-watched }()
		go func() {
			defer close(watched)
			select {
			case <-d.Done():
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return s.exit.Dial(ctx, askerOf(g, conn), j, target.Host, target.Port)
}

// askerOf returns the key for sharing resources fairly between clients: the name in the
// certificate, or conn's address if there is none.
func askerOf(g *admission.Lease, conn net.Conn) string {
	if g.Name() != "" {
		return g.Name()
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String()
	}
	return host
}

// peerOf returns the name in the peer's certificate, or "" if there is none.
func peerOf(conn net.Conn) string {
	if s, ok := conn.(interface{ Lower() net.Conn }); ok {
		conn = s.Lower()
	}
	if c, ok := conn.(interface{ PeerName() string }); ok {
		return c.PeerName()
	}
	return ""
}
