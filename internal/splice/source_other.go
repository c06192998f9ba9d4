//go:build !unix

package splice

import "syscall"

// rawReads reports whether sockets can be read and written by system calls that do
// not block.
const rawReads = false

// nextRaw is never called here, because source.raw is always nil.
func (s *source) nextRaw() ([]byte, error) { panic("BUG: raw read on a system without one") }

func (s *source) tryRead(uintptr) bool { return true }

func tryWrite(syscall.RawConn, [][]byte) (int, error) { return 0, nil }
