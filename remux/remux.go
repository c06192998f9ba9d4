package remux

import (
	"context"
	"fmt"
	"net"
)

// Dialer opens sessions to one server. *Pool is one.
type Dialer interface {
	Dial() (net.Conn, error)
}

// Listener accepts sessions. *SessionListener is one.
type Listener interface {
	Accept() (net.Conn, error)
	Close() error
}

// NewDialer makes a pool, with the defaults of Config, for the server at
// address on one of package net's stream networks.
func NewDialer(network, address string) (Dialer, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return Config{}.NewPool(network, address), nil
	}
	return nil, fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix", network)
}

// Listen accepts sessions, with the defaults of Config, at address on one of
// package net's stream networks.
func Listen(network, address string) (Listener, error) {
	c := Config{}.defaults()
	ln, err := c.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for conns: %w", err)
	}
	return c.NewListener(ln), nil
}
