package testnet

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// BlackHole returns an address that never responds, so connecting to it neither
// succeeds nor fails.
//
// It is a listener that never accepts and whose queue is full, so Linux drops further
// SYNs, as it does for an overloaded server. To fill the queue, BlackHole shortens it
// by calling listen(2) again with a backlog of 0, then dials until a connection is not
// established.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "127.0.0.1:0")
}

// BlackHoleAt is like BlackHole but uses the given loopback address.
func BlackHoleAt(tb testing.TB, address string) string {
	tb.Helper()
	ln := listenAt(tb, address)
	tb.Cleanup(func() { ln.Close() })
	if err := shortenBacklog(ln.(*net.TCPListener)); err != nil {
		tb.Fatalf("testnet: black hole: %v", err)
	}
	addr := ln.Addr().String()
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			return addr
		}
		if err != nil {
			tb.Fatalf("testnet: filling the queue of a black hole: %v", err)
		}
		tb.Cleanup(func() { c.Close() })
	}
	tb.Fatal("testnet: this system keeps completing connections that nothing accepts")
	return ""
}

func shortenBacklog(ln *net.TCPListener) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	return errors.Join(ctlErr, err)
}
