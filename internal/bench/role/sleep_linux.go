package role

import (
	"syscall"
	"time"
)

// nap sleeps for d, at most a few milliseconds, using the kernel's timer.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&ts, nil) // if interrupted, the caller rechecks the clock
}
