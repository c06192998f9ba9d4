package eagersocks

import (
	"context"
	"fmt"
	"net"

	"tunnels/internal/appconn"
	"tunnels/internal/door"
)

// Acceptor is the source of connections: a net.Listener or a remux listener, for
// example.
type Acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// Listener hands over connections together with their requests. Its methods may
// be called from any goroutine at any time. The Listeners of this package also have
// Addr() net.Addr, which is nil if their Acceptor has no Addr.
type Listener interface {
	// Accept waits for the next connection whose request is complete. The
	// request has not been answered: the caller owes one Reply or Refuse. A
	// connection from a front door has CloseWrite, and can be aborted with Reset.
	// The error is net.ErrClosed after Close.
	Accept() (net.Conn, *Request, error)
	// Close stops accepting, closes all connections whose request is not
	// complete, and waits until they are gone. Connections that Accept returned
	// are not affected.
	Close() error
}

// ListenOption is an option of Listen and ListenSocks.
type ListenOption func(*listening)

// listening is the options of a listener.
type listening struct {
	config *Config
	listen func(ctx context.Context, network, address string) (Acceptor, error)
}

// WithConfig replaces the default Config by c.
func WithConfig(c *Config) ListenOption { return func(l *listening) { l.config = c } }

// WithListen has connections accepted by the Acceptor that listen returns, for any
// network that listen knows: "tls" or "remux", for example.
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

// Listen listens for requests at address. The network is a stream network of package
// net, or one that WithListen knows.
func Listen(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for requests: %w", err)
	}
	return l.config.NewListener(ln), nil
}

// ListenSocks listens for applications at address, as NewSocksListener does. The network
// is as for Listen.
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
		return nil, fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix: use eagersocks.WithListen for others", network)
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
