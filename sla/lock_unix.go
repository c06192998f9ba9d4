//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sla

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks f for as long as it is open, so a process that ends in any way leaves
// no lock behind. A file system without locks is not an error.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return nil
}
