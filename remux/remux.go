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

// Option changes the Config that NewDialer and Listen begin with.
type Option func(*Config)

// WithConfig has c used in place of the defaults. It comes before other options.
func WithConfig(c Config) Option { return func(to *Config) { *to = c } }

// WithDial has conns made by dial, which may know any network: "tls", if it is the Dial
// of a tls.Client.
func WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(c *Config) { c.Dial = dial }
}

// WithListen has conns accepted by what listen makes, which may know any network:
// "tls", if it is the Listen of a tls.Server.
func WithListen(listen func(ctx context.Context, network, address string) (net.Listener, error)) Option {
	return func(c *Config) { c.Listen = listen }
}

// NewDialer makes a pool, with the defaults of Config, for the server at address. The
// network is one of package net's stream networks, or one that WithDial knows.
func NewDialer(network, address string, options ...Option) (Dialer, error) {
	c := configOf(options)
	if err := c.knows(network, c.Dial != nil, "WithDial"); err != nil {
		return nil, err
	}
	return c.NewPool(network, address), nil
}

// Listen accepts sessions, with the defaults of Config, at address. The network is one
// of package net's stream networks, or one that WithListen knows.
func Listen(network, address string, options ...Option) (Listener, error) {
	c := configOf(options)
	if err := c.knows(network, c.Listen != nil, "WithListen"); err != nil {
		return nil, err
	}
	c = c.defaults()
	ln, err := c.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for conns: %w", err)
	}
	return c.NewListener(ln), nil
}

func configOf(options []Option) (c Config) {
	for _, o := range options {
		o(&c)
	}
	return c
}

// knows returns an error for a network that package net does not know, if nobody else
// is asked either; option is whom to ask by.
func (c *Config) knows(network string, asked bool, option string) error {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return nil
	}
	if asked {
		return nil
	}
	return fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix: remux.%s says who knows it", network, option)
}
