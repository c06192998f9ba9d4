//go:build unix

package tls

import (
	"io"
	"os"
	"syscall"
)

// canTry reports whether sockets support non-blocking I/O through their system calls.
const canTry = true

// tryWrite writes what the socket takes without blocking.
func tryWrite(raw syscall.RawConn, p []byte) (n int, err error) {
	cerr := raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), p)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case cerr != nil: // closed, or past its deadline
		return 0, cerr
	case err == syscall.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

// tryRead reads what is available, or returns errNotNow if nothing is.
func tryRead(raw syscall.RawConn, p []byte) (n int, err error) {
	cerr := raw.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), p)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case cerr != nil: // closed, or past its deadline
		return 0, cerr
	case err == syscall.EAGAIN:
		return 0, errNotNow
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
