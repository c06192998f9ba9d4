//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sla

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks f for as long as it is open, so a process leaves no lock behind,
// however it ends. It is not an error if the file system has no locks.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return nil
}
