package cli

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"tunnels/internal/netx"
)

// serverListenError explains an error from listening for clients.
func serverListenError(err error, network, address string) error {
	if network == "unix" {
		return err
	}
	host, port, _ := net.SplitHostPort(address) // already validated
	_, noName := errors.AsType[*net.DNSError](err)
	if noName || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return explained{err, fmt.Sprintf("server: %s is not an address of this machine; a server can listen only on its own addresses: use -server.addr :%s", address, port)}
	}
	return listenError(err, "server", address, "-server.addr "+net.JoinHostPort(host, otherPort(port)))
}

// clientListenError explains an error from listening for applications.
func clientListenError(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil || op.Net == "unix" {
		return err
	}
	address := op.Addr.String()
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return explained{err, fmt.Sprintf("client: %s is not an address of this machine; -client.addr is where applications connect, as in 127.0.0.1:1080, and the server's address belongs in -server.addr", address)}
	}
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return err
	}
	return listenError(err, "client", address, "-client.addr "+net.JoinHostPort(host, otherPort(port)))
}

// listenError explains err; other is the suggested alternative.
func listenError(err error, role, address, other string) error {
	if problem := netx.ZoneProblem(address); problem != "" {
		return explained{err, role + ": " + problem}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return explained{err, fmt.Sprintf("%s: %s is in use, perhaps by another tunnels process; choose another port with %s", role, address, other)}
	case errors.Is(err, syscall.EACCES):
		return explained{err, fmt.Sprintf("%s: no permission to listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE, which the systemd unit grants; or choose another port with %s", role, address, other)}
	}
	return err
}

// otherPort suggests a different port: the next one, or the usual alternative to a port
// below 1024.
func otherPort(port string) string {
	n, err := strconv.Atoi(port)
	switch {
	case err != nil || n <= 0 || n >= 1<<16-1:
		return "8443"
	case n < 1024:
		return strconv.Itoa(n + 8000)
	}
	return strconv.Itoa(n + 1)
}

// explained is an error with a more helpful message.
type explained struct {
	err  error
	text string
}

// Error returns the helpful message.
func (e explained) Error() string { return e.text }

// Unwrap returns the original error.
func (e explained) Unwrap() error { return e.err }
