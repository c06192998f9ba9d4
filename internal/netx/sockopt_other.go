//go:build !linux

package netx

import "syscall"

// setCarrier does nothing: these options are Linux's.
func setCarrier(syscall.RawConn) error { return nil }

func setUnsent(syscall.RawConn, int) {}

func progress(syscall.RawConn) (Sent, bool) { return Sent{}, false }

// restrict does nothing: listenUnix changes the mode once the file is there.
func restrict(string, string, syscall.RawConn) error { return nil }
