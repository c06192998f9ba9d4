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

// setUnsent sets TCP_NOTSENT_LOWAT, which can fail only on a closed connection.
func setUnsent(raw syscall.RawConn, n int) {
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n) })
}

// progress queries the kernel. Moved counts bytes acknowledged in order plus segments
// delivered in any order: after a loss, in-order acknowledgments stall until the lost
// segment is resent. Zero-window probes count toward neither.
func progress(raw syscall.RawConn) (s Sent, ok bool) {
	_ = raw.Control(func(fd uintptr) { // fails only on a closed connection
		// Bytes acknowledged between the two calls are counted in both values, so the
		// sum may be too large but never too small.
		queued, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) // also SIOCOUTQ
		if err != nil {
			return
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		s = Sent{Acked: info.Bytes_acked, Queued: uint64(queued), Moved: info.Bytes_acked + uint64(info.Delivered)}
		ok = s.Moved > 0 // the handshake counts, so 0 means that an older kernel lacks the field
	})
	return s, ok
}

// restrict makes the file of a UNIX socket that is not yet bound 0600. Linux creates
// the file with the socket's mode, so other users can never connect.
func restrict(_, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
