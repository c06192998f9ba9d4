package testnet

import (
	"net"
	"testing"
)

// ClosedPort returns an address that refuses connections. Its port is the local port of
// a connection that stays open until the test ends, so that nothing else can listen on
// it.
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
