package netx

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// offeredFile lists the algorithms that the kernel has loaded.
const offeredFile = "/proc/sys/net/ipv4/tcp_available_congestion_control"

// congestionSocket is a congestible. control calls its argument with the descriptor,
// like the method of syscall.RawConn.
type congestionSocket struct {
	control func(func(fd uintptr)) error
}

// unconnected returns a new socket, and a function that closes it.
func unconnected() (s congestible, stop func(), err error) {
	fd := -1
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} { // a system may lack one of them
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP); err == nil {
			break
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening a socket: %w", err)
	}
	control := func(f func(fd uintptr)) error { f(uintptr(fd)); return nil }
	return congestionSocket{control}, func() { _ = unix.Close(fd) }, nil
}

func (s congestionSocket) congestion() (algorithm string, rtt time.Duration, err error) {
	ctlErr := s.control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil {
			return
		}
		// The minimum, because a peer may also have delayed an acknowledgment.
		if info.Min_rtt != math.MaxUint32 {
			rtt = time.Duration(info.Min_rtt) * time.Microsecond
		}
		algorithm, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if ctlErr != nil {
		err = ctlErr
	}
	return algorithm, rtt, err
}

func (s congestionSocket) setCongestion(algorithm string) (err error) {
	ctlErr := s.control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm)
	})
	if ctlErr != nil {
		err = ctlErr
	}
	return err
}

func (congestionSocket) offered() []string {
	list, _ := os.ReadFile(offeredFile) // without it, no algorithm is known
	all := strings.Fields(string(list))
	slices.Sort(all)
	return all
}
