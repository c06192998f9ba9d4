package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/splice"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// Server is the exit: it accepts requests from clients and connects them to
// their targets. Its methods may be called from several goroutines at once; it
// listens and serves once.
type Server struct {
	// Static after construction.
	cfg     Config
	way     way
	log     *sla.Logger
	exit    *exit
	clients *clients
	tls     *tls.Server // nil: not over TLS
	ctx     context.Context
	cancel  context.CancelFunc // ends dials

	stage stage

	// Set by Listen, static then; see stage.
	lower    net.Listener
	sessions *remux.SessionListener // nil: without remux
	requests eagersocks.Listener

	work work
}

// NewServer checks cfg and reads the certificates; nothing is listened on yet.
func NewServer(cfg Config) (*Server, error) {
	w, err := cfg.way()
	if err != nil {
		return nil, err
	}
	cfg.Remux.Budget = cmp.Or(cfg.Remux.Budget, remux.NewBudget(remux.DefaultBudget))
	s := &Server{cfg: cfg, way: w, log: cfg.log()}
	s.work.memory = newTrimmer(&s.work, cfg.Remux.Budget)
	if s.exit, err = newExit(&cfg); err != nil {
		return nil, err
	}
	if s.clients, err = newClients(&cfg, &s.exit.policy, s.log); err != nil {
		s.exit.close()
		return nil, err
	}
	if w.secured {
		conf := cfg.ServerTLS
		conf.Protocol = w.protocol()
		conf.Hooks = tlsLines(s.log)
		if s.tls, err = tls.NewServer(conf); err != nil {
			s.exit.close()
			s.clients.close()
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Listen begins to listen; Serve is to follow. After Shutdown or Close it returns
// ErrClosed.
func (s *Server) Listen() error { return s.stage.listen(s.listen) }

func (s *Server) listen() error {
	carriers := netx.Config{Carrier: s.way.mux, Report: func(err error) { s.log.Error("%v", err) }}
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
		conf.Hooks = remuxLines(s.log, clientOf)
		conf.Hooks.Refused = func(client, remote string, why error) {
			s.clients.refusals.note(RefusedConns, client, why)
			s.log.Debug("conn of client %s at %s refused: %v", client, remote, why)
		}
		s.sessions = conf.NewListener(lower)
		from = s.sessions
	}
	conf := s.cfg.Eager
	conf.Rejected = rejectedLines(s.log, nil)
	s.requests = conf.NewListener(from)
	return nil
}

// Addr returns the address on which the server listens, or nil before Listen.
func (s *Server) Addr() net.Addr {
	if !s.stage.ready() {
		return nil
	}
	return s.lower.Addr()
}

// ListenAndServe listens and serves until Shutdown or Close, and returns nil then.
// If that was called before it listened, it returns ErrClosed.
func (s *Server) ListenAndServe() error {
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Serve()
}

// Serve serves what Listen listens for until Shutdown or Close, and returns nil then
// (also if that was called between Listen and Serve). It may be called once.
func (s *Server) Serve() error {
	if err := s.stage.serve(); err != nil {
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
		s.work.start(conn, func() func() { return s.serve(conn, req) })
	}
}

// Reload reads the certificates and the rules again, changed or not.
func (s *Server) Reload() error {
	err := s.clients.reload()
	if s.tls != nil {
		err = errors.Join(s.tls.Reload(), err)
	}
	return err
}

// Refused is how many requests and datagrams were refused so far, by reason.
func (s *Server) Refused() map[Refusal]uint64 { return s.clients.refusals.counts() }

// Shutdown accepts nothing new, waits for what is being served until ctx ends,
// and resets the rest. The error says how much that was. Calls after the first, and
// of Close, are allowed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stage.close()
	var err error
	if s.sessions != nil {
		// Bytes may still wait here for slow targets when their sessions have
		// ended and their conns are gone.
		if err = s.sessions.Shutdown(ctx); err == nil {
			s.requests.Close() // nothing is started beside the wait
			err = s.work.wait(ctx)
		}
	} else if s.lower != nil {
		s.requests.Close()
		err = s.work.wait(ctx)
	}
	s.close()
	return err
}

// Close ends everything at once.
func (s *Server) Close() {
	s.cancel() // ends a Listen that waits
	s.stage.close()
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
	s.work.abort()
	s.exit.close()
	s.clients.close()
	if s.tls != nil {
		s.tls.Close()
	}
}

// serve connects one request with its target, if the client may have one more
// session, and returns what carries the bytes; nil: there are none to carry.
func (s *Server) serve(conn net.Conn, req *eagersocks.Request) (carry func()) {
	g, err := s.clients.admit(conn, req.Target.String())
	if err != nil {
		_ = req.Refuse(code.NotAllowed, err.Error()) // a client that is gone needs no answer
		return nil
	}
	rest := s.connect(g, conn, req)
	if rest == nil {
		g.leave()
		return nil
	}
	return func() {
		defer g.leave()
		rest()
	}
}

// connect is serve for a client that was admitted.
func (s *Server) connect(g *guest, conn net.Conn, req *eagersocks.Request) (carry func()) {
	if req.Command == eagersocks.UDP {
		return s.associate(g, conn, req)
	}
	if req.Command != eagersocks.Connect {
		why := &code.Error{Code: code.CommandUnsupported, Text: req.Command.String() + " is not supported"}
		_ = req.Refuse(why.Code, why.Text)
		openSock(s.log, g.name, req.Target.String()).closed(why, false)
		return nil
	}
	a := attempt{guest: g, log: s.log, target: req.Target}
	target, err := s.dial(conn, g, &a, req.Target)
	if err != nil {
		why := dialError(err)
		a.failed(why) // first: who was told may look for the reason
		_ = req.Refuse(why.Code, why.Text)
		return nil
	}
	line := a.sock()
	line.plain = !s.way.mux
	if err := req.Reply(); err != nil {
		splice.Abort(target, code.Cancelled, "")
		splice.Abort(conn, code.General, "")
		line.closed(err, false)
		return nil
	}
	s.work.join(conn, target)
	return func() {
		r := splice.Both(g.stream(conn.(splice.Stream), s.ctx.Done()), target, code.Cancelled, code.TargetReset)
		if r.Failed == splice.B {
			r.Err = targetError(r.Err)
		}
		why, _ := code.Of(r.Err)
		line.moved(r.FromA, r.FromB).closed(r.Err, r.Failed == splice.A && why == code.Cancelled)
	}
}

// dial connects to the target, for as long as the session wants it.
func (s *Server) dial(conn net.Conn, g *guest, j judge, target eagersocks.Address) (splice.Stream, error) {
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
	return s.exit.dial(ctx, g.asker(conn), j, target)
}
