package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/race"
	"tunnels/internal/recent"
	"tunnels/internal/resolve"
	"tunnels/internal/splice"
)

const (
	// deadFor is how long an address that did not answer is not dialled again:
	// long enough that a dead host, asked for a hundred times a second, holds
	// few goroutines; short enough that nobody notices when it is back.
	deadFor = 5 * time.Second
	// maxDead is how many of them are remembered.
	maxDead = 4096
	// maxPatience is after what time an address that is silent is called dead,
	// at most; one that was given less may only be slow.
	maxPatience = 3 * time.Second
)

// judge says where a client may go. policy.Exit is one.
type judge interface {
	// AllowName judges a target before its name is resolved.
	AllowName(host string, port uint16) error
	// AllowAddr judges an address right before it is dialled; viaName is the
	// name it stands for, if it was asked for by name.
	AllowAddr(a netip.AddrPort, viaName string) error
}

// exit resolves targets and connects to them, under a policy. Static after
// construction.
type exit struct {
	policy   policy.Exit
	timeout  time.Duration // for resolving and connecting
	resolver *resolve.Resolver
	race     *race.Dialer[*net.TCPConn]
	sockets  *net.Dialer
	// dead is why addresses did not answer a moment ago. It is asked after the
	// judge, for each address: so it tells a client nothing about addresses that
	// are not for it, a dead host is known by all of its names, and a name with
	// one dead address is reached by the others at once. Neither a port that
	// refuses connections nor a network without a route is remembered: that is
	// found out at once, and may be over the next moment.
	dead *recent.Map[netip.AddrPort, code.Code]
	// datagrams counts the targets of all associations.
	datagrams datagram.Room
}

// newExit makes an exit; close is to follow.
func newExit(cfg *Config) (*exit, error) {
	e := &exit{timeout: cfg.dialTimeout(), sockets: netx.Dialer(0), dead: recent.New[netip.AddrPort, code.Code](maxDead)}
	e.race = race.New(e.connect)
	e.policy.Own = new(netx.Own).Has
	var err error
	if e.policy.Allow, err = policy.Parse(strings.Join(cfg.Allow, ",")); err != nil {
		return nil, fmt.Errorf("-server.allow: %w", err)
	}
	if e.policy.Deny, err = policy.Parse(strings.Join(cfg.Deny, ",")); err != nil {
		return nil, fmt.Errorf("-server.deny: %w", err)
	}
	if e.resolver, err = resolve.New(cfg.DNS); err != nil {
		return nil, fmt.Errorf("-server.dns: %w", err)
	}
	return e, nil
}

// close ends what is being resolved. Dials end by their contexts.
func (e *exit) close() { e.resolver.Close() }

// resolve is the addresses of host, one at least; an address is its own. They
// are not judged yet. client is the one that asks: clients take turns. The error is
// always a *code.Error.
func (e *exit) resolve(ctx context.Context, client, host string) ([]netip.Addr, error) {
	return e.resolver.Lookup(ctx, client, host)
}

// dial connects to a client's target. j is asked before a name is resolved and again
// for each address before it is dialled. The name is resolved once, and what is
// dialled is the very address that was judged, so that a name cannot lead to
// where an address may not, however often it changes its mind. The error is
// always a *code.Error.
func (e *exit) dial(ctx context.Context, client string, j judge, target eagersocks.Address) (splice.Stream, error) {
	if err := j.AllowName(target.Host, target.Port); err != nil {
		return nil, dialError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	addrs, err := e.resolve(ctx, client, target.Host)
	if err != nil {
		return nil, dialError(err)
	}
	via := target.Host
	if _, ok := target.IP(); ok {
		via = ""
	}
	c, err := e.race.Connect(ctx, target.Host, addrs, target.Port, func(a netip.AddrPort) error {
		if err := j.AllowAddr(a, via); err != nil {
			return err
		}
		return e.justFailed(a)
	})
	if err != nil {
		return nil, dialError(err)
	}
	return c, nil
}

// connect dials one address.
func (e *exit) connect(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	began := time.Now()
	c, err := e.sockets.DialContext(ctx, "tcp", to.String())
	if err != nil {
		e.note(to, race.Code(err), time.Since(began))
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// note remembers an address that cannot be reached.
func (e *exit) note(to netip.AddrPort, why code.Code, took time.Duration) {
	switch why {
	case code.Timeout:
		if took < min(maxPatience, e.timeout/2) {
			return
		}
	case code.HostUnreachable:
	default: // was found out at once
		return
	}
	e.dead.Put(to, why, deadFor)
}

// justFailed is the error of an address that need not be dialled again yet.
func (e *exit) justFailed(to netip.AddrPort) error {
	why, ok := e.dead.Get(to)
	if !ok {
		return nil
	}
	return &code.Error{Code: why, Text: fmt.Sprintf("%s: %s a moment ago", to, why)}
}

// dialError gives err the code that the application should see.
func dialError(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: race.Code(err), Text: err.Error()}
}
