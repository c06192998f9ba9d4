package testnet

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// BlackHole is an address that never answers: connecting to it neither succeeds
// nor fails.
//
// It is a listener whose queue of connections that wait to be accepted is full,
// and which never accepts: Linux drops the SYN of whoever comes next, as it does
// when a server is overrun. The queue is made as short as possible by calling
// listen(2) once more with a backlog of 0, and filled by connecting until a
// connection does not come about.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "127.0.0.1:0")
}

// BlackHoleAt is a BlackHole at a loopback address of the caller's choice.
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
	tb.Fatal("testnet: this system goes on completing connections that nobody accepts")
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
