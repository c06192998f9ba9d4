//go:build !unix

package tls

import (
	"errors"
	"syscall"
)

// canTry reports whether sockets support non-blocking I/O through their system calls.
const canTry = false

func tryWrite(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }

// tryRead is never called here, because no conn exposes its socket.
func tryRead(syscall.RawConn, []byte) (int, error) { panic("BUG: raw read on a system without one") }
