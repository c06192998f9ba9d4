package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/race"
)

// Dialer connects to servers. It races all addresses of a server's name, as for
// targets, so an unresponsive address costs 250 ms, or no time while the winner is
// remembered. It resolves the name for each connection, to pick up changes. Its fields
// are immutable after creation.
type Dialer struct {
	sockets *net.Dialer
	timeout time.Duration // for resolving and connecting
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
	race    *race.Dialer[net.Conn]
}

// NewDialer returns a Dialer that dials with sockets.
func NewDialer(sockets *net.Dialer, timeout time.Duration) *Dialer {
	d := &Dialer{sockets: sockets, timeout: timeout, lookup: net.DefaultResolver.LookupNetIP}
	d.race = race.New(func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return sockets.DialContext(ctx, "tcp", to.String())
	})
	return d
}

// Dial connects to a server. The error is from a net.Dialer or, if several addresses
// failed, contains a reason for each.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if _, isIP := netip.ParseAddr(host); err != nil || isIP == nil || host == "" || !strings.HasPrefix(network, "tcp") {
		return d.sockets.DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	port, err := portNumber(ctx, network, service)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	addrs, err := d.lookup(ctx, "ip"+strings.TrimPrefix(network, "tcp"), host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if len(addrs) == 1 {
		return d.race.Dial(ctx, netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)))
	}
	c, err := d.race.Connect(ctx, host, addrs, uint16(port), func(netip.AddrPort) error { return nil })
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: addressesError{err}}
	}
	return c, nil
}

// portNumber returns the number for a port, which may be a service name.
func portNumber(ctx context.Context, network, service string) (int, error) {
	if n, err := strconv.ParseUint(service, 10, 16); err == nil {
		return int(n), nil
	}
	return net.DefaultResolver.LookupPort(ctx, network, service)
}

// addressesError is returned if a server has several addresses and connecting to all of
// them failed.
type addressesError struct{ error }

// Timeout implements net.Error.
func (e addressesError) Timeout() bool { return e.code() == code.Timeout }

// Temporary implements net.Error.
func (e addressesError) Temporary() bool { return e.Timeout() }

// Is makes errors.Is recognize a refused connection, as with a single address.
func (e addressesError) Is(target error) bool {
	return target == error(syscall.ECONNREFUSED) && e.code() == code.Refused
}

// Unwrap returns the *code.Error from the race.
func (e addressesError) Unwrap() error { return e.error }

func (e addressesError) code() code.Code {
	why, _ := errors.AsType[*code.Error](e.error)
	if why == nil {
		return code.General
	}
	return why.Code
}
