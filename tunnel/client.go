package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/events"
	"tunnels/internal/httpdoor"
	"tunnels/internal/lifecycle"
	"tunnels/internal/netx"
	"tunnels/internal/splice"
	"tunnels/internal/trim"
	"tunnels/internal/upstream"
	"tunnels/internal/users"
	"tunnels/remux"
	"tunnels/tls"
)

// replyGrace is added to the time a target may take: the reply has a way too.
const replyGrace = 5 * time.Second

// Client takes applications' connections and carries their requests to the
// server. Its methods may be called from several goroutines at once; it listens and
// serves once.
type Client struct {
	// Static after construction.
	cfg     Config
	way     way
	events  *Events
	live    events.Table
	tls     *tls.Client // nil: not over TLS
	servers *upstream.Set
	eager   *eagersocks.Policy
	users   *users.Users // nil: nobody is asked who he is
	ctx     context.Context
	cancel  context.CancelFunc // ends dials

	draining context.Context // ends when Shutdown begins
	drain    context.CancelFunc

	stage lifecycle.Stage

	// Set by Listen, static then; see stage.
	addrs []net.Addr
	apps  eagersocks.Listener

	work lifecycle.Work
	udp  udpRefusal
}

// NewClient checks cfg and reads the certificates and the users; nothing is
// listened on or dialed yet.
func NewClient(cfg Config) (*Client, error) {
	w, err := cfg.way()
	if err != nil {
		return nil, err
	}
	cfg.Remux.Budget = cmp.Or(cfg.Remux.Budget, remux.NewBudget(cfg.Remux.BudgetMax)) // one for all
	c := &Client{cfg: cfg, way: w, eager: &eagersocks.Policy{Mode: cfg.EagerMode}}
	c.events = cfg.subscribe(&c.live)
	c.work.Memory = trim.New(c.work.Count, func() (now, peak int64) {
		now, peak, _ = cfg.Remux.Budget.Usage()
		return now, peak
	})
	dial := upstream.NewDialer(netx.Config{Carrier: w.mux}.Dialer(cfg.dialTimeout()), cfg.dialTimeout()).Dial
	if w.secured {
		conf := cfg.ClientTLS
		conf.Protocol = w.protocol()
		conf.Hooks = tlsHooks(c.events)
		if c.tls, err = tls.NewClient(conf); err != nil {
			return nil, err
		}
		c.tls.DialLower = dial
		dial = c.tls.Dial
	}
	if cfg.ClientUsers != "" {
		if c.users, err = users.Open(cfg.ClientUsers, func(err error) { c.events.FileLoaded(events.Users, cfg.ClientUsers, err) }); err != nil {
			return nil, fmt.Errorf("%s: %w; tunnels users add FILE NAME makes it", cmp.Or(cfg.Names.ClientUsers, "the users file"), err)
		}
	}
	c.servers = upstream.New(cfg.servers(), cmp.Or(cfg.ServerChoice, upstream.Best), upstreamHooks(c.events), c.newLink(dial))
	c.eager.Reachable = c.servers.Reachable
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.draining, c.drain = context.WithCancel(c.ctx)
	return c, nil
}

// newLink makes the way to one server.
func (c *Client) newLink(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(string, func()) upstream.Link {
	conf := c.cfg.Remux
	conf.Dial = dial
	return func(address string, turned func()) upstream.Link {
		hooks := remuxHooks(c.events, func(net.Conn) events.Conn { return events.Conn{Server: address} })
		if c.way.mux {
			conf.Hooks = hooks
			conf.Hooks.StateChanged = turned
			return upstream.Pooled{Pool: conf.NewPool(c.way.network, address)}
		}
		d := upstream.DirectConfig{Dial: dial, Network: c.way.network, Address: address}
		if turned != nil {
			d.Limit, d.Told, d.StateChanged = upstream.Patience, hooks.DialDone, turned
		}
		return upstream.NewDirect(d)
	}
}

// Listen begins to listen for applications and dials the first conn; Serve is
// to follow.
func (c *Client) Listen() error { return c.stage.Listen(c.listen) }

func (c *Client) listen() error {
	if len(c.cfg.ClientAddrs) == 0 {
		return errors.New("client: there is no address to listen on")
	}
	lower, err := netx.Config{Report: c.events.ListenerFailed}.ListenAll(c.ctx, c.cfg.ClientAddrs)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c.addrs = nil
	for _, l := range lower {
		c.addrs = append(c.addrs, l.Addr())
	}
	c.apps = c.newDoors(netx.Merge(lower...))
	c.servers.Start()
	return nil
}

// newDoors returns the front door at lower: a listener with a door for each protocol
// that applications speak.
func (c *Client) newDoors(lower net.Listener) eagersocks.Listener {
	socks, web := c.cfg.Eager, c.cfg.Web
	if c.users != nil {
		socks.Users, web.Users = c.users, c.users
	}
	web.Rejected = c.rejected
	read := door.FirstByte[*eagersocks.Request](socks.NewSocksDoor(), httpdoor.New(web))
	return door.Listen(lower, read, door.Config{Timeout: socks.GreetingTimeout, Max: socks.PendingMax, Rejected: c.rejected})
}

// ServerAddrs are the servers it may use, with commas between.
func (c *Client) ServerAddrs() string { return strings.Join(c.cfg.servers(), ", ") }

// Addr returns the first address on which the client listens, or nil before Listen.
func (c *Client) Addr() net.Addr {
	if !c.stage.Ready() {
		return nil
	}
	return c.addrs[0]
}

// Addrs returns all addresses on which the client listens; none before Listen.
func (c *Client) Addrs() []net.Addr {
	if !c.stage.Ready() {
		return nil
	}
	return c.addrs
}

// ListenAndServe listens and serves until Shutdown or Close, and returns nil then.
// If that was called before it listened, it returns ErrClosed.
func (c *Client) ListenAndServe() error {
	if err := c.Listen(); err != nil {
		return err
	}
	return c.Serve()
}

// Serve serves what Listen listens for until Shutdown or Close, and returns nil then
// (also if that was called between Listen and Serve). It may be called once.
func (c *Client) Serve() error {
	if err := c.stage.Serve(); err != nil {
		return err
	}
	for {
		app, req, err := c.apps.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting applications: %w", err)
		}
		c.work.Start(app, func() func() { return c.serve(app, req) })
	}
}

// Reload reads the certificates and the users again, changed or not.
func (c *Client) Reload() error {
	var bad []error
	if c.tls != nil {
		bad = append(bad, c.tls.Reload())
	}
	if c.users != nil {
		bad = append(bad, c.users.Reload())
	}
	return errors.Join(bad...)
}

// Shutdown accepts nothing new, waits for what is being served until ctx ends,
// and resets the rest. The error says how much that was. Calls after the first, and
// of Close, are allowed.
func (c *Client) Shutdown(ctx context.Context) error {
	c.stage.Close()
	c.drain()
	c.closeDoor()
	err := c.work.Wait(ctx)
	if err == nil {
		err = c.servers.Shutdown(ctx)
	}
	c.Close()
	return err
}

// Close ends everything at once.
func (c *Client) Close() {
	c.cancel() // also ends a Listen that waits
	c.stage.Close()
	c.closeDoor()
	c.servers.Close()
	c.work.Abort()
}

// closeDoor lets nobody in any more. Who is slowed down for a wrong password is
// not waited for.
func (c *Client) closeDoor() {
	if c.users != nil {
		c.users.Close()
	}
	if c.apps != nil {
		c.apps.Close()
	}
}

// serve answers one application's request and carries it to the server, and
// returns what carries the bytes; nil: there are none to carry.
func (c *Client) serve(app net.Conn, req *eagersocks.Request) (carry func()) {
	if web, ok := app.(*httpdoor.Conn); ok {
		return func() { c.serveWeb(web) }
	}
	if req.Command == eagersocks.UDP {
		return c.associate(app, req)
	}
	r := c.accept(req.Target.String())
	eager := c.eager.Eager(req)
	if eager {
		splice.ResetOnDeath(app)
		if err := req.Reply(); err != nil {
			splice.Abort(app, code.Cancelled, "")
			c.start(r)
			c.events.RequestClosed(r, events.End{Err: err, Cancelled: true})
			return nil
		}
	}
	far, err := c.request(req, r, eager)
	if err != nil {
		why := serverError(err)
		if eager {
			splice.Abort(app, why.Code, why.Text)
		} else {
			_ = req.Refuse(why.Code, why.Text)
		}
		c.unserved(r, err)
		return nil
	}
	c.start(r)
	if !eager {
		if err := req.Reply(); err != nil {
			splice.Abort(far, code.Cancelled, "")
			splice.Abort(app, code.Cancelled, "")
			c.events.RequestClosed(r, events.End{Err: err, Cancelled: true})
			return nil
		}
	}
	c.work.Join(app, far)
	return func() { c.carry(r, req, app.(splice.Stream), far, eager) }
}

// carry carries the bytes of a connection.
func (c *Client) carry(r *Request, req *eagersocks.Request, app, far splice.Stream, eager bool) {
	r.Up.Add(int64(len(req.Early())))
	pair := splice.Pair{A: app, B: far, WhenAFails: code.Cancelled, WhenBFails: code.General}
	pair.FromA.Moved = &r.Up
	pair.FromB = splice.Flow{Moved: &r.Down, First: func() { c.answeredFirst(r) }}
	if eager {
		pair.FromB.Failed = func(err error) { c.failed(req.Target, err) }
	}
	result := pair.Join()
	c.events.RequestClosed(r, events.End{Err: result.Err, Cancelled: result.Failed == splice.A})
}

// accept reports a request that will be carried if possible. It starts at once, unless
// no server can be reached: see unserved.
func (c *Client) accept(target string) *Request {
	r := events.NewRequest("", target)
	r.Plain = !c.way.mux
	c.events.RequestAccepted(r)
	if c.servers.Reachable() {
		c.start(r)
	}
	return r
}

// start reports that a request is on its way, once.
func (c *Client) start(r *Request) {
	if r.Start() {
		c.events.RequestStarted(r)
	}
}

// answeredFirst reports the first byte from a target.
func (c *Client) answeredFirst(r *Request) {
	r.Answered()
	c.events.RequestAnswered(r)
}

// unserved reports that a request could not be carried.
func (c *Client) unserved(r *Request, err error) {
	_, unreached := errors.AsType[upstream.Unreached](err)
	_, uncertified := errors.AsType[*tls.CertificateError](err)
	c.events.RequestClosed(r, events.End{Err: err, Unreached: unreached || uncertified})
}

// failed notes that a target which was answered eagerly sent nothing but an
// error. Where remux is not below there is no code to tell whose error it was;
// then the next request for it finds out.
func (c *Client) failed(target eagersocks.Address, err error) {
	e, ok := errors.AsType[*code.Error](err)
	switch {
	case ok:
		c.eager.Failed(target, e.Code, e.Text)
	case !c.way.mux:
		c.eager.Failed(target, code.General, "")
	}
}

// request carries req to a server, together with what the application has
// already sent, and where it was not eager waits for the answer.
func (c *Client) request(req *eagersocks.Request, r *Request, eager bool) (splice.Stream, error) {
	a, err := c.newAsking(req, r, eager)
	if err != nil {
		return nil, err
	}
	far, err := a.next(c.ctx)
	if err != nil {
		return nil, err
	}
	if req.Command != eagersocks.Connect || len(a.early) > 0 || !c.way.mux || c.servers.Single() {
		return far, nil
	}
	return upstream.NewFailoverStream(c.ctx, far, a.next), nil
}

// open returns what carries one request, to the best server.
func (c *Client) open(ctx context.Context, r *Request) (splice.Stream, error) {
	way, err := c.servers.Open(ctx, map[*upstream.Server]bool{})
	if err != nil {
		return nil, err
	}
	r.Via(way.Server.Address)
	return way.Stream, nil
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
		// A reply has no room for the reason; the failure before it had.
		text := c.eager.Why(target, why)
		c.eager.Failed(target, why, text)
		return &code.Error{Code: why, Text: text, Remote: true}
	}
	c.eager.Succeeded(target)
	return nil
}

// serverError is what an application is told when it was not its target that
// failed.
func serverError(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: code.General, Text: err.Error()}
}
