// Package netx opens sockets with the options that a tunnel needs.
//
// It differs from package net as follows:
//
//   - MPTCP, which Go enables for listeners by default, is off: on MPTCP sockets
//     TCP_USER_TIMEOUT and TCP_NOTSENT_LOWAT fail or are ignored.
//   - The congestion control of a connection can be chosen by its round trip.
//   - A carrier, a TCP connection that holds many sessions, keeps little unsent
//     data in the kernel, so that urgent data can still overtake it, and gives
//     up on a peer that acknowledges nothing.
//   - Only its own user can open a UNIX socket (mode 0600), and a file left
//     behind by a killed process does not keep the next one from starting.
//   - Accept recovers after running out of file descriptors.
package netx

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const (
	// notSentLowat is how many unsent bytes the kernel may hold for a carrier, unless
	// SetUnsent changes it. A longer queue would only delay urgent data.
	notSentLowat = 128 << 10
	// userTimeout is how long bytes sent on a carrier may remain unacknowledged.
	userTimeout = 20 * time.Second
)

// keepAlive detects peers that vanish while a connection is idle: after 15 s it sends a
// probe every 15 s, up to nine.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}

// Config selects socket options. The zero Config suits ordinary connections.
type Config struct {
	// Carrier marks TCP connections that hold many sessions: they get TCP_NOTSENT_LOWAT
	// (128 KiB) and TCP_USER_TIMEOUT (20 s) if the system has them.
	Carrier bool
	// Report, if not nil, is called by the accepting goroutine with the first error of
	// each burst of Accept failures.
	Report func(error)
	// Tune, if not nil, is called with each accepted connection before Accept returns it.
	Tune func(net.Conn)
}

// Listen listens with the zero Config.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return Config{}.Listen(ctx, network, address)
}

// Dialer returns a dialer with the zero Config.
func Dialer(timeout time.Duration) *net.Dialer {
	return Config{}.Dialer(timeout)
}

// Listen listens on a stream network of package net: tcp, tcp4, tcp6 or unix. 0.0.0.0
// means IPv4 only; [::] and an empty host mean both families.
//
// The listener's Accept fails only after Close: any other error is reported and
// followed by a pause (5 ms, doubling up to 1 s, interrupted by Close) and a retry. It
// returns package net's connections.
func (c Config) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	lc.SetMultipathTCP(false)
	var (
		inner net.Listener
		err   error
	)
	if isUnix(network) {
		inner, err = listenUnix(ctx, lc, network, address)
	} else {
		inner, err = lc.Listen(ctx, family(network, address), address)
	}
	if err != nil {
		return nil, err // the error already names the address
	}
	return newListener(inner, c), nil
}

// family returns the network to listen on. Package net treats 0.0.0.0 as all addresses
// of both families, which would open an IPv6 port for users who asked for IPv4.
func family(network, address string) string {
	host, _, err := net.SplitHostPort(address)
	if ip, ipErr := netip.ParseAddr(host); network == "tcp" && err == nil && ipErr == nil && ip == netip.IPv4Unspecified() {
		return "tcp4"
	}
	return network
}

// Dialer returns a dialer for package net's stream networks. timeout limits each dial;
// 0 leaves only the system's limit.
func (c Config) Dialer(timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	if c.Carrier {
		d.Control = func(network, address string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			if err := setCarrier(raw); err != nil {
				return fmt.Errorf("setting socket options for %s: %w", address, err)
			}
			return nil
		}
	}
	return d
}

// IsLoopback reports whether address on network is reachable only from this machine: a
// UNIX socket, a loopback address, or "localhost". An empty host is not, since it means
// every interface; nor is any other name, since it could resolve to anything later.
func IsLoopback(network, address string) bool {
	if isUnix(network) {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func isUnix(network string) bool { return strings.HasPrefix(network, "unix") }

// SetUnsent changes how many unsent bytes the kernel may hold for c, a carrier or a
// wrapper with a NetConn method; the initial value is 128 KiB. It does nothing if the
// system has no such limit.
func SetUnsent(c net.Conn, n int) {
	if raw := rawTCP(c); raw != nil {
		setUnsent(raw, n)
	}
}

// Sent is the kernel's record of the bytes sent on a connection.
type Sent struct {
	Acked  uint64 // bytes that the peer's system has acknowledged in order
	Queued uint64 // bytes written but not yet acknowledged
	Moved  uint64 // changes whenever the peer's system acknowledges anything
}

// Progress returns how much of the data sent on c, a carrier or a wrapper with a
// NetConn method, has been acknowledged. It uses the connection's own Progress method
// if there is one. ok is false if the system does not report this.
func Progress(c net.Conn) (s Sent, ok bool) {
	if p, ok := c.(interface{ Progress() (Sent, bool) }); ok {
		return p.Progress()
	}
	if raw := rawTCP(c); raw != nil {
		return progress(raw)
	}
	return Sent{}, false
}

// rawTCP returns the TCP socket of c or of the connection it wraps, or nil if it has
// none.
func rawTCP(c net.Conn) syscall.RawConn {
	for {
		if tcp, ok := c.(*net.TCPConn); ok {
			raw, err := tcp.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
		wraps, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = wraps.NetConn()
	}
}
