// Package netx makes sockets the way a tunnel needs them.
//
// What it does differently from package net:
//
//   - MPTCP is off. It is Go's default for listeners, and on such a socket
//     TCP_USER_TIMEOUT and TCP_NOTSENT_LOWAT fail or are ignored.
//   - A carrier, a TCP connection that holds many sessions, keeps little unsent
//     data in the kernel, so that what is urgent can still overtake, and gives
//     up on a peer that acknowledges nothing.
//   - A UNIX socket belongs to its user alone (mode 0600), and the file that a
//     killed process left behind does not keep the next one from starting.
//   - Accept goes on when descriptors run out.
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
	// notSentLowat is how many bytes of a carrier wait unsent in the kernel, until
	// SetUnsent.
	// More would only be a queue in which nothing can overtake.
	notSentLowat = 128 << 10
	// userTimeout is how long sent bytes of a carrier may stay unacknowledged.
	userTimeout = 20 * time.Second
)

// keepAlive finds peers that vanished while a connection was silent: after
// 15 s a probe every 15 s, nine of them.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}

// Config says what the sockets are for. The zero Config makes ordinary ones.
type Config struct {
	// Carrier marks TCP connections that hold many sessions: they get
	// TCP_NOTSENT_LOWAT (128 KiB) and TCP_USER_TIMEOUT (20 s) where the system
	// has them.
	Carrier bool
	// Report is told of the first error of each burst of failing Accepts. It
	// is called by the goroutine that accepts. Nil: nobody is told.
	Report func(error)
}

// Listen listens with the zero Config.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return Config{}.Listen(ctx, network, address)
}

// Dialer is a dialer with the zero Config.
func Dialer(timeout time.Duration) *net.Dialer {
	return Config{}.Dialer(timeout)
}

// Listen listens on a stream network of package net: tcp, tcp4, tcp6 or unix.
// 0.0.0.0 is IPv4 alone; [::] and an empty host are both families.
//
// Accept of the returned listener fails only once it is closed: every other
// error is reported, followed by a pause (5 ms, doubled up to 1 s, which Close
// interrupts) and the next try. Its connections are package net's own.
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
		return nil, err // package net and listenUnix say what was listened on
	}
	return newListener(inner, c), nil
}

// family is the network to listen on. Package net takes 0.0.0.0 for every address of
// both families, which would open a port to IPv6 for somebody who asked for IPv4.
func family(network, address string) string {
	host, _, err := net.SplitHostPort(address)
	if ip, ipErr := netip.ParseAddr(host); network == "tcp" && err == nil && ipErr == nil && ip == netip.IPv4Unspecified() {
		return "tcp4"
	}
	return network
}

// Dialer dials stream networks of package net; timeout bounds one dial, 0: no
// bound but the system's.
func (c Config) Dialer(timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	if c.Carrier {
		d.Control = func(network, address string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			if err := setCarrier(raw); err != nil {
				return fmt.Errorf("setting socket options towards %s: %w", address, err)
			}
			return nil
		}
	}
	return d
}

// IsLoopback tells whether address on network is reachable from this machine
// alone: a UNIX socket, a loopback address, or "localhost". A host that is
// empty means every interface, so it is not; neither is any other name, as
// nobody knows what it resolves to later.
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

// SetUnsent changes how many bytes of c, a carrier or what wraps one and says so
// by NetConn, may wait unsent in the kernel: 128 KiB at first. It does nothing
// where the system has no such limit.
func SetUnsent(c net.Conn, n int) {
	if raw := rawTCP(c); raw != nil {
		setUnsent(raw, n)
	}
}

// Sent is what the system knows of the bytes that were sent on a connection.
type Sent struct {
	Acked  uint64 // bytes that the peer's system has acknowledged in order
	Queued uint64 // bytes that were handed over and are not acknowledged
	Moved  uint64 // changes whenever the peer's system has acknowledged anything
}

// Progress says how far the peer's system has come with what was sent on c, a carrier
// or what wraps one and says so by NetConn. A connection with a Progress method of its
// own is asked instead. ok is false where the system does not tell.
func Progress(c net.Conn) (s Sent, ok bool) {
	if p, ok := c.(interface{ Progress() (Sent, bool) }); ok {
		return p.Progress()
	}
	if raw := rawTCP(c); raw != nil {
		return progress(raw)
	}
	return Sent{}, false
}

// rawTCP is the TCP socket of c or of what it wraps, or nil if there is none.
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
