// Package exit is the way on from a server: it resolves targets and connects to them, and
// asks a judge before each step.
package exit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/netx"
	"tunnels/internal/race"
	"tunnels/internal/recent"
	"tunnels/internal/resolve"
	"tunnels/internal/splice"
)

const (
	// deadFor is how long an address that did not answer is not dialed again:
	// long enough that a dead host, asked for a hundred times a second, holds
	// few goroutines; short enough that nobody notices when it is back.
	deadFor = 5 * time.Second
	// maxDead is how many of them are remembered.
	maxDead = 4096
	// maxPatience is after what time an address that is silent is called dead,
	// at most; one that was given less may only be slow.
	maxPatience = 3 * time.Second
)

// Judge says where a client may go. policy.Exit is one.
type Judge interface {
	// AllowName judges a target before its name is resolved.
	AllowName(host string, port uint16) error
	// AllowAddr judges an address right before it is dialed; viaName is the
	// name it stands for, if it was asked for by name.
	AllowAddr(a netip.AddrPort, viaName string) error
}

// Exit resolves targets and connects to them. Static after construction; its methods
// may be called from any goroutine.
type Exit struct {
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

// New makes an exit that owns r and takes timeout for resolving and connecting, each
// time. Close is to follow.
func New(r *resolve.Resolver, timeout time.Duration) *Exit {
	e := &Exit{timeout: timeout, resolver: r, sockets: netx.Dialer(0), dead: recent.New[netip.AddrPort, code.Code](maxDead)}
	e.race = race.New(e.connect)
	return e
}

// Close ends what is being resolved. Dials end by their contexts.
func (e *Exit) Close() { e.resolver.Close() }

// Relay makes the exit's end of an association of a client. crowded and refused are
// those of datagram.Exit.
func (e *Exit) Relay(client string, j Judge, crowded func(), refused func(datagram.Target, error)) *datagram.Relay {
	return datagram.NewRelay(datagram.Exit{
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return e.resolver.Lookup(ctx, client, host)
		},
		AllowName: j.AllowName,
		AllowAddr: j.AllowAddr,
		Timeout:   e.timeout,
		Crowded:   crowded,
		Room:      &e.datagrams,
		Refused:   refused,
	})
}

// Times is how long the steps of a Dial took; 0 for one that was not taken.
type Times struct{ Resolve, Connect time.Duration }

// Dial connects to a client's target. j is asked before a name is resolved and again
// for each address before it is dialed. The name is resolved once, and what is
// dialed is the very address that was judged, so that a name cannot lead to
// where an address may not, however often it changes its mind. The error is
// always a *code.Error. client is the one that asks: clients take turns in resolving.
func (e *Exit) Dial(ctx context.Context, client string, j Judge, host string, port uint16) (s splice.Stream, took Times, err error) {
	if err := j.AllowName(host, port); err != nil {
		return nil, took, coded(err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	began := time.Now()
	addrs, err := e.resolver.Lookup(ctx, client, host)
	took.Resolve = time.Since(began)
	if err != nil {
		return nil, took, coded(err)
	}
	via := host
	if _, err := netip.ParseAddr(host); err == nil {
		via = ""
	}
	c, err := e.race.Connect(ctx, host, addrs, port, func(a netip.AddrPort) error {
		if err := j.AllowAddr(a, via); err != nil {
			return err
		}
		return e.justFailed(a)
	})
	took.Connect = time.Since(began) - took.Resolve
	if err != nil {
		return nil, took, coded(err)
	}
	return c, took, nil
}

// connect dials one address.
func (e *Exit) connect(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	began := time.Now()
	c, err := e.sockets.DialContext(ctx, "tcp", to.String())
	if err != nil {
		e.note(to, race.Code(err), time.Since(began))
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// note remembers an address that cannot be reached.
func (e *Exit) note(to netip.AddrPort, why code.Code, took time.Duration) {
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

// justFailed is the error of an address that need not be dialed again yet.
func (e *Exit) justFailed(to netip.AddrPort) error {
	why, ok := e.dead.Get(to)
	if !ok {
		return nil
	}
	return &code.Error{Code: why, Text: fmt.Sprintf("%s: %s a moment ago", to, why)}
}

// coded gives err the code that the application should see.
func coded(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: race.Code(err), Text: err.Error()}
}
