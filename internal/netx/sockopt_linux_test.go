package netx

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sockopt(t *testing.T, c *net.TCPConn, opt int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	var optErr error
	if err := raw.Control(func(fd uintptr) { v, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, opt) }); err != nil {
		t.Fatal(err)
	}
	if optErr != nil {
		t.Fatal(optErr)
	}
	return v
}

func TestCarrierOptions(t *testing.T) {
	plainD, plainA := pair(t, Config{})
	carrierD, carrierA := pair(t, Config{Carrier: true})
	for name, tt := range map[string]struct {
		c               *net.TCPConn
		timeout, unsent int
	}{
		"ordinary, dialed":   {plainD, 0, -1},
		"ordinary, accepted": {plainA, 0, -1},
		"carrier, dialed":    {carrierD, 20000, 128 << 10},
		"carrier, accepted":  {carrierA, 20000, 128 << 10},
	} {
		if got := sockopt(t, tt.c, unix.TCP_USER_TIMEOUT); got != tt.timeout {
			t.Errorf("%s: TCP_USER_TIMEOUT = %d ms, want %d", name, got, tt.timeout)
		}
		// If unset, the option reads as the system default, which is 0 or -1.
		got := sockopt(t, tt.c, unix.TCP_NOTSENT_LOWAT)
		if tt.unsent > 0 && got != tt.unsent || tt.unsent < 0 && got == 128<<10 {
			t.Errorf("%s: TCP_NOTSENT_LOWAT = %d, want %d", name, got, tt.unsent)
		}
		if got := sockopt(t, tt.c, unix.TCP_KEEPIDLE); got != 15 {
			t.Errorf("%s: TCP_KEEPIDLE = %d s, want 15", name, got)
		}
	}
}

// TestAcceptWithoutDescriptors runs in a separate process, so that it can lower the
// limit on open files without affecting other tests.
func TestAcceptWithoutDescriptors(t *testing.T) {
	if os.Getenv("NETX_LOW_LIMIT") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAcceptWithoutDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "NETX_LOW_LIMIT=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "accepted after EMFILE") {
			t.Fatalf("in the child: %v\n%s", err, out)
		}
		return
	}
	if err := exhaust(t); err != nil {
		t.Fatal(err)
	}
	fmt.Println("accepted after EMFILE")
}

func exhaust(t *testing.T) error {
	reports := make(chan error, 10)
	l, err := Config{Report: func(err error) { reports <- err }}.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	d, err := Dialer(time.Second).Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer d.Close()

	// Every open descriptor is higher than this, so none can be opened.
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		return err
	}
	type result struct {
		c   net.Conn
		err error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		accepted <- result{c, err}
	}()
	if err := <-reports; !strings.Contains(err.Error(), syscall.EMFILE.Error()) {
		return fmt.Errorf("reported %v, want %v", err, syscall.EMFILE)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		return err
	}
	r := <-accepted
	if r.err != nil {
		return fmt.Errorf("Accept once descriptors are available again: %w", r.err)
	}
	r.c.Close()
	if n := len(reports); n != 0 {
		return fmt.Errorf("%d more reports of the same burst", n)
	}
	return nil
}

// TestProgress checks that acknowledgments by the peer's system are visible, even
// through a wrapper.
func TestProgress(t *testing.T) {
	d, a := pair(t, Config{Carrier: true})
	before, ok := Progress(d)
	if !ok {
		t.Skip("the kernel does not report progress")
	}
	if again, _ := Progress(wrapped{d}); again != before {
		t.Errorf("Progress = %+v, then %+v with nothing sent", before, again)
	}
	if _, err := d.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if now, ok := Progress(wrapped{d}); ok && now.Moved > before.Moved && now.Queued == 0 {
			if now.Acked != before.Acked+1 {
				t.Errorf("Progress = %+v, %+v before one byte", now, before)
			}
			break
		} else if time.Now().After(end) {
			t.Fatalf("Progress = %+v, %v 10 s after a byte was sent", now, ok)
		}
	}
	d.Close()
	if n, ok := Progress(d); ok {
		t.Errorf("Progress of a closed connection = %+v", n)
	}
	p, _ := net.Pipe()
	if n, ok := Progress(p); ok {
		t.Errorf("Progress of a pipe = %+v", n)
	}
}

// wrapped wraps a connection.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }
