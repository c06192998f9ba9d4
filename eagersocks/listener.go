package eagersocks

import (
	"context"
	"fmt"
	"net"

	"tunnels/internal/appconn"
	"tunnels/internal/door"
)

// Acceptor is what requests come from: a net.Listener or a remux listener, for
// example.
type Acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// Listener hands over connections together with their requests. Its methods may
// be called from any goroutine at any time. Those this package makes also have
// Addr() net.Addr if their Acceptor has it.
type Listener interface {
	// Accept waits for the next connection whose request is complete. Nothing
	// has been answered: the caller owes one Reply or Refuse. A connection
	// from a front door has CloseWrite, and can be aborted with Reset. The
	// error is net.ErrClosed after Close.
	Accept() (net.Conn, *Request, error)
	// Close ends the accepting and all connections whose request is not
	// complete, and waits until they are gone. Those that Accept returned
	// stay as they are.
	Close() error
}

// ListenOption changes what Listen and ListenSocks begin with.
type ListenOption func(*listening)

// listening is how a listener begins.
type listening struct {
	config *Config
	listen func(ctx context.Context, network, address string) (Acceptor, error)
}

// WithConfig has c used in place of the defaults.
func WithConfig(c *Config) ListenOption { return func(l *listening) { l.config = c } }

// WithListen has connections accepted by what listen makes, which may know any network:
// "tls" or "remux", for example.
func WithListen(listen func(ctx context.Context, network, address string) (Acceptor, error)) ListenOption {
	return func(l *listening) { l.listen = listen }
}

func (l *listening) on(network, address string, options []ListenOption) (Acceptor, error) {
	l.config, l.listen = new(Config), listen
	for _, o := range options {
		o(l)
	}
	return l.listen(context.Background(), network, address)
}

// Listen takes requests at address. The network is a stream network of package net, or
// one that WithListen knows.
func Listen(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for requests: %w", err)
	}
	return l.config.NewListener(ln), nil
}

// ListenSocks takes applications at address, as NewSocksListener does. The network is
// one of Listen's.
func ListenSocks(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for applications: %w", err)
	}
	return l.config.NewSocksListener(ln), nil
}

func listen(ctx context.Context, network, address string) (Acceptor, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix: eagersocks.WithListen says who knows it", network)
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default; socket options do not work with it
	return lc.Listen(ctx, network, address)
}

// ErrBug marks what Config.Rejected should report loudly: a defect of this package.
var ErrBug = door.ErrBug

// ErrMistake marks what Config.Rejected is told of a request that can only be a mistake
// in how an application is set up, such as TLS spoken to a front door.
var ErrMistake = appconn.ErrMistake
