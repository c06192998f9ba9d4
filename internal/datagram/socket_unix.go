//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// canWait says whether a socket can be waited for without a buffer.
const canWait = true

// waitReadable returns when there is a datagram or an error to be read. The
// error is that of a closed socket.
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

// isUnreachable: a datagram that was sent before has come to a closed port.
func isUnreachable(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
