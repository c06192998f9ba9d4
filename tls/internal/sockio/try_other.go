//go:build !unix

package sockio

import (
	"errors"
	"syscall"
)

// CanTry reports whether sockets support non-blocking I/O through their system calls.
const CanTry = false

func tryWrite(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }

// TryRead is never called here, because no conn exposes its socket.
func TryRead(syscall.RawConn, []byte) (int, error) {
	panic("BUG: raw read on a system that does not support it")
}
