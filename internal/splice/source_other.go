//go:build !unix

package splice

import "syscall"

// rawReads says whether sockets can be read by system calls that do not block.
const rawReads = false

// nextRaw is never called here: no source gets a raw connection.
func (s *source) nextRaw() ([]byte, error) { panic("BUG: raw read on a system without one") }

func (s *source) tryRead(uintptr) bool { return true }

func tryWrite(syscall.RawConn, [][]byte) (int, error) { return 0, nil }
