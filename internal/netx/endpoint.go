package netx

import (
	"context"
	"net"
	"strings"
)

// Endpoint is an address to listen on or to dial.
type Endpoint struct {
	Network string // tcp, tcp4, tcp6 or unix
	Address string // host:port, or the path of a socket file
}

// ParseEndpoint parses an address with an optional network prefix, as in
// unix:/run/tunnels.sock or tcp:127.0.0.1:1080; network is the default. It does not
// validate the address.
func ParseEndpoint(network, s string) Endpoint {
	for _, n := range []string{"tcp", "tcp4", "tcp6", "unix"} {
		if address, ok := strings.CutPrefix(s, n+":"); ok {
			return Endpoint{n, address}
		}
	}
	return Endpoint{network, s}
}

// String returns the endpoint in the form that ParseEndpoint accepts, without a prefix
// for tcp.
func (e Endpoint) String() string {
	if e.Network == "tcp" {
		return e.Address
	}
	return e.Network + ":" + e.Address
}

// IsLoopback reports whether e is reachable only from this machine; see the function
// IsLoopback.
func (e Endpoint) IsLoopback() bool { return IsLoopback(e.Network, e.Address) }

// ListenAll listens on all endpoints, in order, or on none. The error names the
// endpoint that failed.
func (c Config) ListenAll(ctx context.Context, all []Endpoint) ([]net.Listener, error) {
	var open []net.Listener
	for _, e := range all {
		l, err := c.Listen(ctx, e.Network, e.Address)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, err // err names the endpoint
		}
		open = append(open, l)
	}
	return open, nil
}
