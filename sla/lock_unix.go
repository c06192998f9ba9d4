//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sla

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks f until it is closed, so a process leaves no lock behind, however it
// exits. It returns nil if the file system does not support locks.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return nil
}
