package conn

import (
	"net"
	"testing"
	"time"

	"tunnels/remux/internal/flow"
)

// testConfig is the configuration that package remux derives from an empty one.
func testConfig() *Config {
	return &Config{Ping: 15 * time.Second, WindowMax: 128 << 20, SessMax: 1 << 15, Budget: &flow.Budget{Limit: 256 << 20}}
}

// pipePair returns two conns over a pipe, which end with the test.
func pipePair(t testing.TB) (near, far *Conn) {
	t.Helper()
	a, b := net.Pipe()
	near, far = Start(a, testConfig(), true), Start(b, testConfig(), false)
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}
