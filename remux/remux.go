package remux

import (
	"context"
	"fmt"
	"net"
)

// Dialer opens sessions to one server. *Pool implements it.
type Dialer interface {
	Dial() (net.Conn, error)
}

// Listener accepts sessions. *SessionListener and *Conn implement it.
type Listener interface {
	Accept() (net.Conn, error)
	Close() error
}

// NewDialer returns a pool for the server at address. The network is one of package net's
// stream networks, or any other that the Config's Dial supports, such as "tls" for the
// Dial method of a tls.Client. At most one Config may be given; each of its fields has a
// default.
func NewDialer(network, address string, config ...Config) (Dialer, error) {
	c := configOf(config)
	if c.Dial == nil && !netKnows(network) {
		return nil, unknownNetwork(network, "Dial")
	}
	return c.NewPool(network, address), nil
}

// Listen accepts sessions at address. The network is one of package net's stream
// networks, or any other that the Config's Listen supports, such as "tls" for the Listen
// method of a tls.Server. At most one Config may be given; each of its fields has a
// default.
func Listen(network, address string, config ...Config) (Listener, error) {
	c := configOf(config)
	if c.Listen == nil && !netKnows(network) {
		return nil, unknownNetwork(network, "Listen")
	}
	c = c.defaults()
	ln, err := c.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for conns: %w", err)
	}
	return c.NewListener(ln), nil
}

func configOf(config []Config) (c Config) {
	if len(config) > 0 {
		c = config[0]
	}
	return c
}

// netKnows reports whether package net supports network as a stream network.
func netKnows(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return true
	}
	return false
}

// unknownNetwork returns the error for a network that package net does not support; field
// is the Config field that would allow it.
func unknownNetwork(network, field string) error {
	return fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix: set remux.Config.%s to use others", network, field)
}
