package testnet

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// BlackHole returns an address that never answers: connecting to it neither succeeds
// nor fails.
//
// It is a listener that never accepts and whose queue is full: Linux drops further
// SYNs, as it does for an overloaded server. The queue is made as short as possible by
// calling listen(2) again with a backlog of 0, and filled by connecting until a
// connection is not established.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "127.0.0.1:0")
}

// BlackHoleAt is BlackHole at a given loopback address.
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
	tb.Fatal("testnet: this system keeps completing connections that are not accepted")
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
