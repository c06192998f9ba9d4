//go:build unix

package ca

import (
	"os"
	"syscall"
)

// keepOwner sets the owner and group of f to those of another file, and reports whether
// f now has them.
func keepOwner(f *os.File, of os.FileInfo) bool {
	now, err := f.Stat()
	if err != nil {
		return false
	}
	is, ok := now.Sys().(*syscall.Stat_t)
	want, same := of.Sys().(*syscall.Stat_t)
	if !ok || !same {
		return false
	}
	return is.Uid == want.Uid && is.Gid == want.Gid || f.Chown(int(want.Uid), int(want.Gid)) == nil
}
