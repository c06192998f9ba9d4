package testnet

import (
	"net"
	"testing"
)

// ClosedPort is an address on which nobody listens: connecting to it is refused.
// The port stays taken until the test ends, so nobody else gets it meanwhile:
// it is the local port of a connection.
func ClosedPort(tb testing.TB) string {
	tb.Helper()
	ln := listen(tb)
	tb.Cleanup(func() { ln.Close() })
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		tb.Fatalf("testnet: taking a port: %v", err)
	}
	tb.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}
