package eagersocks

import (
	"context"
	"fmt"
	"net"

	"tunnels/internal/appconn"
	"tunnels/internal/door"
)

// Acceptor is a source of connections, such as a net.Listener or a remux listener.
type Acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// Listener hands over connections together with their requests. Its methods may be
// called from any goroutine at any time. This package's Listeners also have Addr()
// net.Addr, which returns nil if their Acceptor has no Addr.
type Listener interface {
	// Accept waits for the next connection with a complete request. The caller must
	// answer the request by calling Reply or Refuse once. A connection from a front door
	// has CloseWrite, and can be aborted with Reset. The error is net.ErrClosed after
	// Close.
	Accept() (net.Conn, *Request, error)
	// Close stops accepting, closes all connections whose request is incomplete, and
	// waits until they are closed. Connections already returned by Accept are not
	// affected.
	Close() error
}

// ListenOption is an option for Listen and ListenSocks.
type ListenOption func(*listening)

// listening holds a listener's options.
type listening struct {
	config *Config
	listen func(ctx context.Context, network, address string) (Acceptor, error)
}

// WithConfig replaces the default Config with c.
func WithConfig(c *Config) ListenOption { return func(l *listening) { l.config = c } }

// WithListen makes the Listener accept connections from the Acceptor returned by listen.
// Any network that listen supports can then be used, such as "tls" or "remux".
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
// net, or one supported by WithListen.
func Listen(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for requests: %w", err)
	}
	return l.config.NewListener(ln), nil
}

// ListenSocks listens for applications at address, like NewSocksListener. The network
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

// ErrBug marks an error passed to Config.Rejected that should be reported prominently:
// a defect in this package.
var ErrBug = door.ErrBug

// ErrMistake marks an error passed to Config.Rejected for a request that can only
// result from a misconfigured application, such as TLS sent to a front door.
var ErrMistake = appconn.ErrMistake
