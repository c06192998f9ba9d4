// Package exit connects to targets for a server: it resolves and dials them, and
// consults a judge before each step.
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
	// deadFor is how long to avoid dialing an address that did not answer: long enough
	// that a dead host requested a hundred times a second ties up few goroutines, and
	// short enough that a recovery is noticed quickly.
	deadFor = 5 * time.Second
	// maxDead limits how many dead addresses are remembered.
	maxDead = 4096
	// maxPatience is the longest silence required before an address is considered dead.
	// An address given less time may just be slow.
	maxPatience = 3 * time.Second
)

// Judge decides which targets a client may use. policy.Exit implements it.
type Judge interface {
	// AllowName judges a target before its name is resolved.
	AllowName(host string, port uint16) error
	// AllowAddr judges an address right before it is dialed; viaName is the name that
	// resolved to it, or empty.
	AllowAddr(a netip.AddrPort, viaName string) error
}

// Exit resolves targets and connects to them. Its fields are immutable after creation;
// its methods may be called from any goroutine.
type Exit struct {
	timeout  time.Duration // for resolving and connecting together
	resolver *resolve.Resolver
	race     *race.Dialer[*net.TCPConn]
	sockets  *net.Dialer
	// dead remembers why addresses did not answer recently. It is consulted after the
	// judge, so it reveals nothing about addresses a client may not use. A dead host is
	// recognized under any of its names, and a name with one dead address is reached
	// immediately through the others. Refused connections and missing routes are not
	// remembered, because they are detected immediately and may be resolved a moment
	// later.
	dead *recent.Map[netip.AddrPort, code.Code]
	// datagrams counts the targets of all associations.
	datagrams datagram.Room
}

// New returns an exit that owns r and whose dials, including resolving, take at most
// timeout. The caller must Close it.
func New(r *resolve.Resolver, timeout time.Duration) *Exit {
	e := &Exit{timeout: timeout, resolver: r, sockets: netx.Dialer(0), dead: recent.New[netip.AddrPort, code.Code](maxDead)}
	e.race = race.New(e.connect)
	return e
}

// Close cancels lookups in progress. Dials end with their contexts.
func (e *Exit) Close() { e.resolver.Close() }

// Relay returns the exit's end of a client's association. See datagram.Exit for crowded
// and refused.
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

// Times holds how long each step of a Dial took, or 0 if it was skipped.
type Times struct{ Resolve, Connect time.Duration }

// Dial connects to a client's target. It consults j before resolving a name and again
// for each address before dialing it. The name is resolved once and only judged
// addresses are dialed, so changing DNS answers cannot bypass the policy (DNS
// rebinding). The error is always a *code.Error. client identifies the client to the
// resolver, which serves clients in turn.
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

// note remembers that an address did not answer.
func (e *Exit) note(to netip.AddrPort, why code.Code, took time.Duration) {
	switch why {
	case code.Timeout:
		if took < min(maxPatience, e.timeout/2) {
			return
		}
	case code.HostUnreachable:
	default: // detected immediately, so not worth remembering
		return
	}
	e.dead.Put(to, why, deadFor)
}

// justFailed returns the remembered error for an address that should not be dialed
// again yet, or nil.
func (e *Exit) justFailed(to netip.AddrPort) error {
	why, ok := e.dead.Get(to)
	if !ok {
		return nil
	}
	return &code.Error{Code: why, Text: fmt.Sprintf("%s: %s a moment ago", to, why)}
}

// coded converts err to an error with the code the application should see.
func coded(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: race.Code(err), Text: err.Error()}
}
