package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// canPoll reports whether poll works.
const canPoll = true

// poll is why the socket is of no use any more, or nil. It leaves the error where it
// is, for Read and Write.
func poll(raw syscall.RawConn, finished bool) error {
	var found error
	bad := int16(unix.POLLERR)
	if !finished {
		bad |= unix.POLLHUP // else it only says that both ends have finished
	}
	err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 && fds[0].Revents&bad != 0 {
			found = syscall.ECONNRESET
		}
	})
	if err != nil {
		return err // closed at this end
	}
	return found
}
