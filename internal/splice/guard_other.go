//go:build !linux

package splice

import "syscall"

// canPoll reports whether poll works.
const canPoll = false

func poll(syscall.RawConn, bool) error { return nil }
