package netx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setCarrier sets TCP_NOTSENT_LOWAT and TCP_USER_TIMEOUT.
func setCarrier(raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		}
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// setUnsent sets TCP_NOTSENT_LOWAT; it can fail on a closed connection only.
func setUnsent(raw syscall.RawConn, n int) {
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n) })
}

// restrict makes the file of a UNIX socket that is not yet bound 0600: Linux
// creates it with the mode of the socket, so there is no moment at which
// somebody else could connect.
func restrict(_, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
