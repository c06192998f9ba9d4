package netpath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sendQueue is the length of a device's own queue in packets. It only has to hold what the
// kernel sends at once; the lane's queue is the one that limits. A user namespace may not
// set it and keeps the kernel's 500.
const sendQueue = 10000

// onFirstThread reports whether the caller runs on the process's first thread.
func onFirstThread() bool { return unix.Gettid() == unix.Getpid() }

// unshareNet moves the calling thread to a new network namespace and returns a file that
// refers to it.
func unshareNet() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("create a network namespace: %w", permitted(err))
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	return f, nil
}

// enterNet moves the calling thread to a network namespace.
func enterNet(namespace *os.File) error {
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}

// permitted explains an error that means a lack of rights.
func permitted(err error) error {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (%w: needs root, or a user namespace as from unshare -r, and /dev/net/tun)", err, errors.ErrUnsupported)
	}
	return err
}

// setUp brings loopback up in the calling thread's namespace and returns a new TUN device
// with an address.
func setUp(addr string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", permitted(err))
	}
	if err := configure(fd, net.ParseIP(addr)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), deviceName), nil
}

// configure makes tun a device with an address and brings it up, and loopback too.
func configure(tun int, addr net.IP) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(socket)
	up := func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING) }
	for _, step := range []struct {
		does    string
		fd      int
		device  string
		request uint
		set     func(*unix.Ifreq)
	}{
		{"create the TUN device", tun, deviceName, unix.TUNSETIFF, func(r *unix.Ifreq) { r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI) }},
		{"set the address", socket, deviceName, unix.SIOCSIFADDR, func(r *unix.Ifreq) { r.SetInet4Addr(addr.To4()) }},
		{"set the network mask", socket, deviceName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) { r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{"set the MTU", socket, deviceName, unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(MTU) }},
		{"set the queue length", socket, deviceName, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) { r.SetUint32(sendQueue) }},
		{"bring up the TUN device", socket, deviceName, unix.SIOCSIFFLAGS, up},
		{"bring up loopback", socket, "lo", unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(step.device)
		if err != nil {
			return fmt.Errorf("%s: %w", step.does, err)
		}
		step.set(r)
		err = unix.IoctlIfreq(step.fd, step.request, r)
		if err != nil && (step.request != unix.SIOCSIFTXQLEN || !errors.Is(err, os.ErrPermission)) {
			return fmt.Errorf("%s: %w", step.does, permitted(err))
		}
	}
	return nil
}

// alarm is a kernel timer. It is more precise than Go's, which an idle process waits for
// in whole milliseconds.
type alarm struct{ file *os.File } // a timerfd

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	return &alarm{os.NewFile(uintptr(fd), "timer")}, nil
}

// set makes the alarm go off once after d, replacing an earlier time.
func (a *alarm) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))} // 0 would disarm it
	if raw, err := a.file.SyscallConn(); err == nil {                     // fails once closed
		raw.Control(func(fd uintptr) { unix.TimerfdSettime(int(fd), 0, &spec, nil) })
	}
}

// wait waits until the alarm goes off. It returns false once the alarm is closed.
func (a *alarm) wait() bool {
	var expired [8]byte
	_, err := a.file.Read(expired[:])
	return err == nil
}

func (a *alarm) close() { a.file.Close() }
