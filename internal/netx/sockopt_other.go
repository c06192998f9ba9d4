//go:build !linux

package netx

import "syscall"

// setCarrier does nothing: these options exist only on Linux.
func setCarrier(syscall.RawConn) error { return nil }

func setUnsent(syscall.RawConn, int) {}

func progress(syscall.RawConn) (Sent, bool) { return Sent{}, false }

// restrict does nothing: listenUnix changes the mode after the file is created.
func restrict(string, string, syscall.RawConn) error { return nil }
