//go:build unix

package tls

import (
	"os"
	"syscall"
)

// canTry: sockets can be written to by system calls that do not wait.
const canTry = true

// tryWrite writes what the socket takes at once.
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
