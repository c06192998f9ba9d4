//go:build !unix

package tls

import (
	"errors"
	"syscall"
)

// canTry: sockets cannot be written to by system calls that do not wait.
const canTry = false

func tryWrite(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }

// tryRead is never called here: no conn gives its socket away.
func tryRead(syscall.RawConn, []byte) (int, error) { panic("BUG: raw read on a system without one") }
