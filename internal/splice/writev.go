//go:build linux || darwin

package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// writev writes the pieces with one system call.
func writev(fd int, pieces [][]byte) (int, error) {
	if len(pieces) == 1 { // as most do that are not bulk; costs less
		return syscall.Write(fd, pieces[0])
	}
	return unix.Writev(fd, pieces)
}
