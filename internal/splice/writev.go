//go:build linux || darwin

package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// writev writes the pieces with one system call.
func writev(fd int, pieces [][]byte) (int, error) {
	if len(pieces) == 1 { // cheaper, and the common case except for bulk data
		return syscall.Write(fd, pieces[0])
	}
	return unix.Writev(fd, pieces)
}
