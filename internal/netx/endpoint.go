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

// ParseEndpoint parses an address that may be prefixed by its network, as in
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

// String returns the address in the form that ParseEndpoint reads, without the prefix
// for tcp.
func (e Endpoint) String() string {
	if e.Network == "tcp" {
		return e.Address
	}
	return e.Network + ":" + e.Address
}

// IsLoopback calls the function IsLoopback for e.
func (e Endpoint) IsLoopback() bool { return IsLoopback(e.Network, e.Address) }

// ListenAll listens on all endpoints in order, or on none. The error names the endpoint
// that failed.
func (c Config) ListenAll(ctx context.Context, all []Endpoint) ([]net.Listener, error) {
	var open []net.Listener
	for _, e := range all {
		l, err := c.Listen(ctx, e.Network, e.Address)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, err // err names it
		}
		open = append(open, l)
	}
	return open, nil
}
