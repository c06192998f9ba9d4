//go:build !unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// canWait says whether a socket can be waited for without a buffer.
const canWait = false

func waitReadable(*net.UDPConn) error { return nil }

// isUnreachable: a datagram that was sent before has come to a closed port
// (WSAECONNRESET).
func isUnreachable(err error) bool { return errors.Is(err, syscall.Errno(10054)) }
