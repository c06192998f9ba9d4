package testnet

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // so that a broken test fails instead of hanging
	return c.(*net.TCPConn)
}

func write(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatalf("writing %q: %v", s, err)
	}
}

func read(t testing.TB, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
}

// howItEnds returns the error from a connection that ends before any data arrives,
// possibly before it is even established.
func howItEnds(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestHalfClose(t *testing.T) {
	// The server replies only after it has seen EOF.
	server := Serve(t, func(c *net.TCPConn) {
		q, _ := io.ReadAll(c)
		c.Write(append([]byte("you said "), q...))
	})
	r := NewRelay(t, server.Addr)
	r.SetDelay(time.Millisecond)
	c := dial(t, r.Addr)
	write(t, c, "hello")
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if string(got) != "you said hello" || err != nil {
		t.Errorf("reply = %q, %v, want \"you said hello\"", got, err)
	}
	if up, down := r.Bytes(); up != 5 || down != 14 {
		t.Errorf("Bytes() = %d, %d, want 5, 14", up, down)
	}
}

func TestEchoSinkSource(t *testing.T) {
	e := Echo(t)
	c := dial(t, e.Addr)
	write(t, c, "ping")
	read(t, c, "ping")
	if e.Accepted() != 1 || e.Bytes() != 4 {
		t.Errorf("Accepted(), Bytes() = %d, %d, want 1, 4", e.Accepted(), e.Bytes())
	}

	s := Sink(t)
	c = dial(t, s.Addr)
	write(t, c, "gone")
	c.CloseWrite()
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("reading from a sink: %q, %v, want EOF", b, err)
	}
	if s.Bytes() != 4 {
		t.Errorf("Bytes() of the sink = %d, want 4", s.Bytes())
	}

	for _, n := range []int64{0, 1, 1<<20 + 1} {
		c = dial(t, Source(t, n).Addr)
		if got, err := io.Copy(io.Discard, c); got != n || err != nil {
			t.Errorf("Source(%d) sent %d, %v", n, got, err)
		}
	}
}

func TestServerCloseEndsConns(t *testing.T) {
	s := Source(t, -1)
	c := dial(t, s.Addr)
	s.Close()
	s.Close()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open after Close")
	}
}

func TestDelay(t *testing.T) {
	r := NewRelay(t, Echo(t).Addr)
	r.SetDelay(40 * time.Millisecond)
	c := dial(t, r.Addr)
	for range 3 {
		start := time.Now()
		write(t, c, "x")
		read(t, c, "x")
		if d := time.Since(start); d < 80*time.Millisecond || d > 2*time.Second {
			t.Errorf("one round trip with 40 ms each way took %v", d)
		}
	}
}

// TestInFlight checks that a sender can have 64 MiB in flight before the first byte
// arrives.
func TestInFlight(t *testing.T) {
	sink := Sink(t)
	r := NewRelay(t, sink.Addr)
	r.SetDelay(time.Hour)
	c := dial(t, r.Addr)
	block := make([]byte, 1<<20)
	for i := range 64 {
		if _, err := c.Write(block); err != nil {
			t.Fatalf("after %d MiB: %v", i, err)
		}
	}
	if got := sink.Bytes(); got != 0 {
		t.Errorf("%d bytes arrived an hour early", got)
	}
}

func TestRate(t *testing.T) {
	r := NewRelay(t, Source(t, 1<<20).Addr)
	r.SetRate(8 << 20)
	start := time.Now()
	n, err := io.Copy(io.Discard, dial(t, r.Addr))
	if n != 1<<20 || err != nil {
		t.Fatalf("read %d bytes, %v, want %d", n, err, 1<<20)
	}
	if d := time.Since(start); d < 120*time.Millisecond || d > 5*time.Second {
		t.Errorf("1 MiB at 8 MiB/s took %v, want about 125ms", d)
	}
}

func TestReset(t *testing.T) {
	ended := make(chan error, 1)
	server := Serve(t, func(c *net.TCPConn) {
		io.Copy(c, io.LimitReader(c, 1))
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	r := NewRelay(t, server.Addr)
	c := dial(t, r.Addr)
	write(t, c, "x")
	read(t, c, "x")
	r.Reset()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client: Read = %v, want ECONNRESET", err)
	}
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("server: Read = %v, want ECONNRESET", err)
	}
	c = dial(t, r.Addr) // the relay itself still works
	write(t, c, "y")
	read(t, c, "y")
	c.Close()
	<-ended
}

// TestResetPassesOn checks that when one side resets, the other sees the reset, after
// the bytes that preceded it.
func TestResetPassesOn(t *testing.T) {
	read1 := make(chan struct{})
	server := Serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "some")
		<-read1
		c.SetLinger(0)
	})
	r := NewRelay(t, server.Addr)
	r.SetDelay(5 * time.Millisecond)
	c := dial(t, r.Addr)
	read(t, c, "some")
	close(read1)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read = %v, want ECONNRESET", err)
	}
}

// TestResetAfterHalfClose checks that when a server half-closes and then closes its
// connection, a client that only sends sees a reset.
func TestResetAfterHalfClose(t *testing.T) {
	r := NewRelay(t, Source(t, 3).Addr)
	c := dial(t, r.Addr)
	read(t, c, "\x00\x00\x00")
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("Read = %v, want EOF", err)
	}
	for {
		if _, err := c.Write(make([]byte, 1<<10)); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("writes to a closed server never fail")
			}
			return
		}
	}
}

func TestStall(t *testing.T) {
	r := NewRelay(t, Echo(t).Addr)
	c := dial(t, r.Addr)
	write(t, c, "a")
	read(t, c, "a")
	r.Stall(true)
	r.Stall(true)
	write(t, c, "b")
	late := dial(t, r.Addr)
	write(t, late, "c")
	for _, c := range []net.Conn{c, late} {
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("while stalled: Read = %d, %v, want a timeout", n, err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	r.Stall(false)
	read(t, c, "b")
	read(t, late, "c")
	if got := r.Open(); got != 2 {
		t.Errorf("Open() = %d, want 2", got)
	}
}

func TestCloseWhileStalled(t *testing.T) {
	r := NewRelay(t, Source(t, -1).Addr)
	c := dial(t, r.Addr)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Stall(true)
	r.Close()
	if got := r.Open(); got != 0 {
		t.Errorf("Open() after Close = %d, want 0", got)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client: %v, want ECONNRESET", err)
	}
}

func TestDropNew(t *testing.T) {
	r := NewRelay(t, Echo(t).Addr)
	old := dial(t, r.Addr)
	write(t, old, "a")
	read(t, old, "a")
	r.DropNew(true)
	if err := howItEnds(r.Addr); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a dropped connection ends with %v, want ECONNRESET", err)
	}
	write(t, old, "b")
	read(t, old, "b")
	r.DropNew(false)
	again := dial(t, r.Addr)
	write(t, again, "c")
	read(t, again, "c")
	if got := r.Accepted(); got != 3 {
		t.Errorf("Accepted() = %d, want 3", got)
	}
}

func TestTargetGone(t *testing.T) {
	r := NewRelay(t, ClosedPort(t))
	if err := howItEnds(r.Addr); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("if the target refuses connections, a connection ends with %v, want ECONNRESET", err)
	}
}

func TestClosedPort(t *testing.T) {
	addr := ClosedPort(t)
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial(%s) = %v, want ECONNREFUSED", addr, err)
		}
	}
}

func TestBlackHole(t *testing.T) {
	addr := BlackHole(t)
	for range 3 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err == nil {
			c.Close()
		}
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
			t.Errorf("Dial(%s) = %v, want a timeout", addr, err)
		}
	}
}

// BenchmarkRelay measures a relay's throughput, which should be at least 500 MiB/s with
// or without a delay.
func BenchmarkRelay(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(delay.String(), func(b *testing.B) {
			r := NewRelay(b, Source(b, -1).Addr)
			r.SetDelay(delay)
			c := dial(b, r.Addr)
			c.SetDeadline(time.Time{})
			buf := make([]byte, 1<<20)
			io.ReadFull(c, buf) // wait for the delay once, outside the loop
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
			runtime.KeepAlive(c)
		})
	}
}
