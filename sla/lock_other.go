//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package sla

import "os"

// lockFile does nothing, because a lock on this system would keep other programs from
// reading the file.
func lockFile(*os.File) error { return nil }
