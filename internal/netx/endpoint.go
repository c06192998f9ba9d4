package netx

import (
	"context"
	"net"
	"strings"
)

// Endpoint is where to listen or to dial.
type Endpoint struct {
	Network string // tcp, tcp4, tcp6 or unix
	Address string // host:port, or the path of a socket file
}

// ParseEndpoint reads an address that may have its network before it, as in
// unix:/run/tunnels.sock or tcp:127.0.0.1:1080; network is that of one that has not.
// Nothing else is checked.
func ParseEndpoint(network, s string) Endpoint {
	for _, n := range []string{"tcp", "tcp4", "tcp6", "unix"} {
		if address, ok := strings.CutPrefix(s, n+":"); ok {
			return Endpoint{n, address}
		}
	}
	return Endpoint{network, s}
}

// String is the address as ParseEndpoint reads it. That tcp is meant goes without
// saying.
func (e Endpoint) String() string {
	if e.Network == "tcp" {
		return e.Address
	}
	return e.Network + ":" + e.Address
}

// IsLoopback is IsLoopback of its parts.
func (e Endpoint) IsLoopback() bool { return IsLoopback(e.Network, e.Address) }

// ListenAll listens on all of the endpoints, in their order, or on none: the error
// names the one that failed.
func (c Config) ListenAll(ctx context.Context, all []Endpoint) ([]net.Listener, error) {
	var open []net.Listener
	for _, e := range all {
		l, err := c.Listen(ctx, e.Network, e.Address)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, err // which names it
		}
		open = append(open, l)
	}
	return open, nil
}
