package appconn

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// waitable is a connection that implements WaitReadable.
type waitable struct {
	net.Conn
	waits int
}

func (w *waitable) WaitReadable() error { w.waits++; return nil }

func TestWaitingWithEarlyBytes(t *testing.T) {
	inner := &waitable{}
	c := New(inner, []byte("ab"))
	for i, want := range []int{0, 0, 1} {
		if err := c.WaitReadable(); err != nil || inner.waits != want {
			t.Fatalf("WaitReadable %d = %v after %d underlying waits, want %d", i, err, inner.waits, want)
		}
		if i < 2 {
			got := make([]byte, 1)
			if n, err := c.Read(got); n != 1 || err != nil || got[0] != "ab"[i] {
				t.Fatalf("Read = %q, %v; want %q", got[:n], err, "ab"[i:i+1])
			}
		}
	}
}

func TestSyscallConnAfterEarlyBytes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	inner, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c := New(inner, []byte("a"))
	if _, err := c.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SyscallConn with early bytes = %v, want unsupported", err)
	}
	c.TakeEarly()
	if _, err := c.SyscallConn(); err != nil {
		t.Errorf("SyscallConn without early bytes = %v", err)
	}
}

func TestUnsupportedByConnection(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := New(a, nil)
	_, sysErr := c.SyscallConn()
	for name, err := range map[string]error{
		"CloseWrite": c.CloseWrite(), "WaitReadable": c.WaitReadable(), "SyscallConn": sysErr,
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s on a pipe = %v, want unsupported", name, err)
		}
	}
	var _ syscall.Conn = c
}
