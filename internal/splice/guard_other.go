//go:build !linux

package splice

import "syscall"

// canPoll reports whether poll is supported.
const canPoll = false

func poll(syscall.RawConn, bool) error { return nil }
