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
	"tunnels/internal/entry"
	"tunnels/internal/events"
	"tunnels/internal/lifecycle"
	"tunnels/internal/netx"
	"tunnels/internal/trim"
	"tunnels/internal/upstream"
	"tunnels/internal/users"
	"tunnels/remux"
	"tunnels/tls"
)

// Client accepts applications' connections and carries their requests to a server. Its
// methods are safe for concurrent use; it listens and serves only once.
type Client struct {
	// Immutable after construction.
	cfg     Config
	way     way
	events  *Events
	live    events.Table
	tls     *tls.Client // nil unless the servers are reached over TLS
	servers *upstream.Set
	entry   *entry.Entry
	users   *users.Users // nil if applications need no login
	ctx     context.Context
	cancel  context.CancelFunc // cancels dials

	drain context.CancelFunc // called when Shutdown begins

	stage lifecycle.Stage

	// Set by Listen, then immutable; see stage.
	addrs []net.Addr
	apps  eagersocks.Listener

	work lifecycle.Work
}

// NewClient checks cfg and reads the certificates and users. It does not listen or dial
// yet.
func NewClient(cfg Config) (*Client, error) {
	w, err := cfg.way()
	if err != nil {
		return nil, err
	}
	cfg.Remux.Budget = cmp.Or(cfg.Remux.Budget, remux.NewBudget(cfg.Remux.BudgetMax)) // shared by all servers
	c := &Client{cfg: cfg, way: w}
	c.events = cfg.subscribe(&c.live)
	c.work.Memory = trim.New(c.work.Count, func() (now, peak int64) {
		now, peak, _ = cfg.Remux.Budget.Usage()
		return now, peak
	})
	dial := tuned(upstream.NewDialer(netx.Config{Carrier: w.mux}.Dialer(cfg.dialTimeout()), cfg.dialTimeout()).Dial, cfg.tune(c.events))
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
			return nil, fmt.Errorf("%s: %w; create it with `tunnels users add FILE NAME`", cmp.Or(cfg.Names.ClientUsers, "the users file"), err)
		}
	}
	c.servers = upstream.New(cfg.servers(), cmp.Or(cfg.ServerChoice, upstream.Best), upstreamHooks(c.events), c.newLink(dial))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	draining, drain := context.WithCancel(c.ctx)
	c.drain = drain
	c.entry = entry.New(c.ctx, entry.Config{
		Servers: c.servers, Events: c.events, Work: &c.work, Mux: w.mux, Timeout: cfg.dialTimeout(),
		Eager:    &eagersocks.Eagerness{Mode: cfg.EagerMode, Reachable: c.servers.Reachable},
		Rejected: c.rejected, Draining: draining,
	})
	return c, nil
}

// newLink returns the function that creates the link to one server.
func (c *Client) newLink(dial dialFunc) func(string, func()) upstream.Link {
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

// Listen starts listening for applications and dials the first conn. Serve must follow.
func (c *Client) Listen() error { return c.stage.Listen(c.listen) }

func (c *Client) listen() error {
	if len(c.cfg.ClientAddrs) == 0 {
		return errors.New("client: no address to listen on")
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

// ServerAddrs returns the servers the client may use, separated by commas.
func (c *Client) ServerAddrs() string { return strings.Join(c.cfg.servers(), ", ") }

// Addr returns the first address the client is listening on, or nil before Listen.
func (c *Client) Addr() net.Addr {
	if !c.stage.Ready() {
		return nil
	}
	return c.addrs[0]
}

// Addrs returns all addresses the client is listening on; none before Listen.
func (c *Client) Addrs() []net.Addr {
	if !c.stage.Ready() {
		return nil
	}
	return c.addrs
}

// ListenAndServe listens and serves until Shutdown or Close, then returns nil. If
// either was called before it listened, it returns ErrClosed.
func (c *Client) ListenAndServe() error {
	if err := c.Listen(); err != nil {
		return err
	}
	return c.Serve()
}

// Serve serves applications until Shutdown or Close, then returns nil, even if one of
// them has already been called. It may be called only once, after Listen.
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
		c.work.Start(app, func() func() { return c.entry.Serve(app, req) })
	}
}

// Reload rereads the certificates and the users, whether or not they have changed.
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

// Shutdown stops accepting, waits for running requests until ctx is done, then resets
// the rest. The error reports how many were reset. Shutdown may be called more than once
// and may be followed by Close.
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

// Close aborts all requests and stops immediately.
func (c *Client) Close() {
	c.cancel() // also interrupts a blocked Listen
	c.stage.Close()
	c.closeDoor()
	c.servers.Close()
	c.work.Abort()
}

// closeDoor stops accepting. It does not wait for throttled logins.
func (c *Client) closeDoor() {
	if c.users != nil {
		c.users.Close()
	}
	if c.apps != nil {
		c.apps.Close()
	}
}

// Contact waits until a server has answered and returns its address and round-trip time,
// or 0 if that cannot be measured. If ctx ends first, the error reports why no server
// answered. Without remux, nothing is known before the first request, so server is "".
func (c *Client) Contact(ctx context.Context) (server string, rtt time.Duration, err error) {
	if !c.way.mux {
		return "", 0, nil
	}
	return c.servers.Contact(ctx)
}
