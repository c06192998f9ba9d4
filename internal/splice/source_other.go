//go:build !unix

package splice

import "syscall"

// rawReads reports whether sockets support non-blocking reads and writes by system
// call.
const rawReads = false

// nextRaw is never called on these systems, because source.raw is always nil.
func (s *source) nextRaw() ([]byte, error) { panic("BUG: raw read on a system without one") }

func (s *source) tryRead(uintptr) bool { return true }

func tryWrite(syscall.RawConn, [][]byte) (int, error) { return 0, nil }
