package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// canPoll reports whether poll is supported.
const canPoll = true

// poll returns the error that makes the socket unusable, or nil. It does not consume
// the error, which is left for Read and Write.
func poll(raw syscall.RawConn, finished bool) error {
	var found error
	bad := int16(unix.POLLERR)
	if !finished {
		bad |= unix.POLLHUP // otherwise POLLHUP only means that both ends have finished
	}
	err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 && fds[0].Revents&bad != 0 {
			found = syscall.ECONNRESET
		}
	})
	if err != nil {
		return err // closed locally
	}
	return found
}
