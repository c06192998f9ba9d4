//go:build unix

package sockio

import (
	"io"
	"os"
	"syscall"
)

// CanTry reports whether sockets support non-blocking I/O through their system calls.
const CanTry = true

// tryWrite writes as much as the socket accepts without blocking.
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

// TryRead reads available data, or returns ErrNotNow if there is none.
func TryRead(raw syscall.RawConn, p []byte) (n int, err error) {
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
		return 0, ErrNotNow
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
