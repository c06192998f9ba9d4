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

// progress asks the kernel. What moves are the bytes that were acknowledged in order,
// and the segments that were delivered in any order: behind a lost one,
// acknowledgments in order stand still for as long as the queue takes to send it
// again. Probes of a closed window are in neither.
func progress(raw syscall.RawConn) (s Sent, ok bool) {
	_ = raw.Control(func(fd uintptr) { // fails on a closed connection only
		// What is acknowledged between the two is in both: their sum is too large
		// then, and never too small.
		queued, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) // also SIOCOUTQ
		if err != nil {
			return
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		s = Sent{Acked: info.Bytes_acked, Queued: uint64(queued), Moved: info.Bytes_acked + uint64(info.Delivered)}
		ok = s.Moved > 0 // the handshake counts; older kernels leave it out
	})
	return s, ok
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
