package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/splice"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// replyGrace is added to the time a target may take: the reply has a way too.
const replyGrace = 5 * time.Second

// Client takes applications' connections and carries their requests to the
// server.
type Client struct {
	// Static after construction.
	cfg    Config
	way    way
	log    *sla.Logger
	tls    *tls.Client // nil: not over TLS
	pool   *remux.Pool // nil: without remux
	eager  *eagersocks.Policy
	reach  reach // without remux: how the last dial went
	ctx    context.Context
	cancel context.CancelFunc // ends dials

	// Set by Listen, static then.
	lower net.Listener
	apps  eagersocks.Listener

	work work
	udp  udpRefusal
}

// NewClient checks cfg and reads the certificates; nothing is listened on or
// dialled yet.
func NewClient(cfg Config) (*Client, error) {
	w, err := cfg.way()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, way: w, log: cfg.log(), eager: &eagersocks.Policy{Mode: cfg.EagerMode}}
	dialer := netx.Config{Carrier: w.mux}.Dialer(cfg.dialTimeout())
	dial := dialer.DialContext
	if w.secured {
		conf := cfg.ClientTLS
		conf.Hooks = tlsLines(c.log)
		if c.tls, err = tls.NewClient(conf); err != nil {
			return nil, err
		}
		c.tls.DialLower = dial
		dial = c.tls.Dial
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if w.mux {
		conf := cfg.Remux
		conf.Dial = dial
		conf.Hooks = remuxLines(c.log)
		c.pool = conf.NewPool(w.network, w.address)
		c.eager.Reachable = c.pool.Reachable
	} else {
		c.cfg.Remux.Dial = dial
		c.eager.Reachable = c.reach.ok
	}
	return c, nil
}

// Listen begins to listen for applications and dials the first conn; Serve is
// to follow.
func (c *Client) Listen() error {
	lower, err := netx.Config{Report: func(err error) { c.log.Error("%v", err) }}.Listen(c.ctx, c.cfg.ClientNet, c.cfg.ClientAddr)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c.lower = lower
	conf := c.cfg.Eager
	conf.Rejected = rejectedLines(c.log, "no request")
	c.apps = conf.NewSocksListener(lower)
	if c.pool != nil {
		c.pool.Warm()
	}
	return nil
}

// Addr is where the client listens.
func (c *Client) Addr() net.Addr { return c.lower.Addr() }

// ListenAndServe listens and serves until Shutdown, and returns nil then.
func (c *Client) ListenAndServe() error {
	if err := c.Listen(); err != nil {
		return err
	}
	return c.Serve()
}

// Serve serves what Listen listens for until Shutdown, and returns nil then.
func (c *Client) Serve() error {
	for {
		app, req, err := c.apps.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting applications: %w", err)
		}
		c.work.start(app, func() func() { return c.serve(app, req) })
	}
}

// Reload reads the certificates again, changed or not.
func (c *Client) Reload() error {
	if c.tls == nil {
		return nil
	}
	return c.tls.Reload()
}

// Shutdown accepts nothing new, waits for what is being served until ctx ends,
// and resets the rest. The error says how much that was.
func (c *Client) Shutdown(ctx context.Context) error {
	if c.apps != nil {
		c.apps.Close()
	}
	err := c.work.wait(ctx)
	if err == nil && c.pool != nil {
		err = c.pool.Shutdown(ctx)
	}
	c.Close()
	return err
}

// Close ends everything at once.
func (c *Client) Close() {
	c.cancel()
	if c.apps != nil {
		c.apps.Close()
	}
	if c.pool != nil {
		c.pool.Close()
	}
	c.work.abort()
}

// serve answers one application's request and carries it to the server, and
// returns what carries the bytes; nil: there are none to carry.
func (c *Client) serve(app net.Conn, req *eagersocks.Request) (carry func()) {
	if req.Command == eagersocks.UDP {
		return c.associate(app, req)
	}
	line := openSock(c.log, req.Target)
	eager := c.eager.Eager(req)
	if eager {
		splice.ResetOnDeath(app)
		if err := req.Reply(); err != nil {
			splice.Abort(app, code.Cancelled, "")
			line.closed(err, true)
			return nil
		}
	}
	far, err := c.request(req, eager)
	if err != nil {
		why := serverError(err)
		if eager {
			splice.Abort(app, why.Code, why.Text)
		} else {
			_ = req.Refuse(why.Code, why.Text)
		}
		line.closed(err, false)
		return nil
	}
	if eager {
		far = &watched{Stream: far, failed: func(err error) { c.failed(req.Target, err) }}
	} else if err := req.Reply(); err != nil {
		splice.Abort(far, code.Cancelled, "")
		splice.Abort(app, code.Cancelled, "")
		line.closed(err, true)
		return nil
	}
	return func() {
		r := splice.Both(app.(splice.Stream), far, code.Cancelled, code.General)
		line.closed(r.Err, r.Failed == splice.A)
	}
}

// failed notes that a target which was answered eagerly sent nothing but an
// error. Where remux is not below there is no code to tell whose error it was;
// then the next request for it finds out.
func (c *Client) failed(target eagersocks.Address, err error) {
	why, ok := code.Of(err)
	if !ok && c.pool == nil {
		why = code.General
	}
	c.eager.Failed(target, why)
}

// request carries req to the server, together with what the application has
// already sent, and where it was not eager waits for the answer.
func (c *Client) request(req *eagersocks.Request, eager bool) (splice.Stream, error) {
	out := eagersocks.Request{Command: req.Command, Target: req.Target, ReplyWanted: !eager, Options: req.Options}
	b, err := out.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	b = append(b, req.Early()...)

	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.dialTimeout())
	defer cancel()
	far, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := far.Write(b); err != nil {
		splice.Abort(far, code.Cancelled, "")
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	if eager {
		return far, nil
	}
	if err := c.answered(far, req.Target); err != nil {
		splice.Abort(far, code.Cancelled, "")
		return nil, err
	}
	return far, nil
}

// answered reads the exit's reply.
func (c *Client) answered(far net.Conn, target eagersocks.Address) error {
	_ = far.SetReadDeadline(time.Now().Add(c.cfg.dialTimeout() + replyGrace))
	why, err := eagersocks.ReadReply(far)
	if err != nil {
		return fmt.Errorf("waiting for the exit's reply: %w", err)
	}
	_ = far.SetReadDeadline(time.Time{})
	if why != code.OK {
		c.eager.Failed(target, why)
		return &code.Error{Code: why, Remote: true}
	}
	c.eager.Succeeded(target)
	return nil
}

// open is a session, or where there is no remux a connection of its own.
func (c *Client) open(ctx context.Context) (splice.Stream, error) {
	if c.pool != nil {
		return c.pool.Open(ctx)
	}
	if err := c.reach.justFailed(); err != nil {
		return nil, err
	}
	conn, err := c.cfg.Remux.Dial(ctx, c.way.network, c.way.address)
	c.reach.note(err)
	if err != nil {
		return nil, &code.Error{Code: code.General, Text: fmt.Sprintf("server %s cannot be reached: %v", c.way.address, err)}
	}
	return conn.(splice.Stream), nil
}

// serverError is what an application is told when it was not its target that
// failed.
func serverError(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: code.General, Text: err.Error()}
}
