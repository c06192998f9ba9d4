// Package role implements the processes that the benchmark runs around the proxies: the
// origin, the line with a round-trip time, and both ends of the reference.
package role

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// service is a running role.
type service interface {
	where() any // returns the addresses needed to reach it
	Close() error
}

// The roles that the benchmark starts this program in, as a child process. Each comment
// gives the type of the role's JSON description.
const (
	Origin   = "@origin"    // the IP address to listen on
	Relay    = "@relay"     // RelaySpec
	TLSBack  = "@tls-back"  // the address to listen on
	TLSFront = "@tls-front" // TLSFrontSpec
)

// Is reports whether args select a role, to be passed to Run.
func Is(args []string) bool { return len(args) > 0 && strings.HasPrefix(args[0], "@") }

// Run serves the role that args name. It reads the description from the first line of
// stdin, prints its addresses and serves until stdin is closed, which also happens when its
// parent exits. The description is not an argument, because it may hold a certificate,
// which the command line rejects.
func Run(args []string, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	spec, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("role %s: read its description: %w", args[0], err)
	}
	s, err := startRole(args[0], spec)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(s.where()); err != nil {
		return errors.Join(err, s.Close())
	}
	io.Copy(io.Discard, in)
	return s.Close()
}

func startRole(name string, spec []byte) (service, error) {
	switch name {
	case Origin:
		var host string
		if err := json.Unmarshal(spec, &host); err != nil {
			return nil, err
		}
		return startOrigin(host)
	case Relay:
		var r RelaySpec
		if err := json.Unmarshal(spec, &r); err != nil {
			return nil, err
		}
		return startRelay(r)
	case TLSBack:
		var addr string
		if err := json.Unmarshal(spec, &addr); err != nil {
			return nil, err
		}
		return startTLSBack(addr)
	case TLSFront:
		var f TLSFrontSpec
		if err := json.Unmarshal(spec, &f); err != nil {
			return nil, err
		}
		return startTLSFront(f)
	}
	return nil, fmt.Errorf("unknown role %q", name)
}

// FreeAddr returns an unused loopback address below the kernel's ephemeral ports, so that
// no outgoing connection claims it in the meantime.
func FreeAddr() string { return FreeAddrOn("127.0.0.1", net.Listen) }

// FreeAddrOn is like FreeAddr, for any IP address that listen can listen on.
func FreeAddrOn(host string, listen func(network, address string) (net.Listener, error)) string {
	for range 100 {
		addr := net.JoinHostPort(host, strconv.Itoa(15000+rand.IntN(17000)))
		if ln, err := listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	return net.JoinHostPort(host, "0")
}
