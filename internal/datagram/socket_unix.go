//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// canWait reports whether a socket can be waited on without a buffer.
const canWait = true

// waitReadable returns once a datagram or an error can be read. It fails only if the
// socket is closed.
func waitReadable(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	return raw.Read(func(fd uintptr) bool {
		for {
			_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
}

// isUnreachable reports whether err means that an earlier datagram reached a closed
// port.
func isUnreachable(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
