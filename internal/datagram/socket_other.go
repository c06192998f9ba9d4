//go:build !unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// canWait reports whether a socket can be waited on without a buffer.
const canWait = false

func waitReadable(*net.UDPConn) error { return nil }

// isUnreachable reports whether err means that an earlier datagram reached a closed
// port (WSAECONNRESET).
func isUnreachable(err error) bool { return errors.Is(err, syscall.Errno(10054)) }
