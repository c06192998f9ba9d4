//go:build unix

package users

import (
	"fmt"
	"os"
	"syscall"
)

// keepOwner sets f's owner and mode to those recorded in was.
func keepOwner(f *os.File, was os.FileInfo) error {
	if s, ok := was.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return fmt.Errorf("preserving its owner: %w", err)
		}
	}
	return f.Chmod(was.Mode().Perm())
}
