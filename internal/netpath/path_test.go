package netpath

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const testMax = 30 * time.Second // so that a broken test fails instead of hanging

// start starts a path, or skips the test where there can be none.
func start(t *testing.T, c Config) *Path {
	t.Helper()
	p, err := New(c)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// connect returns both ends of a TCP connection from left to right.
func connect(t *testing.T, p *Path) (left, right *net.TCPConn) {
	t.Helper()
	ln, err := p.Right.Listen("tcp", net.JoinHostPort(p.Right.Addr(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testMax)
	defer cancel()
	c, err := p.Left.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(testMax))
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, c := range []net.Conn{c, s} {
		c.SetDeadline(time.Now().Add(testMax))
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// echo sends back what c receives, until the test ends.
func echo(t *testing.T, c net.Conn) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(c, c)
	}()
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
}

// roundTrip returns how long the echo of one byte takes.
func roundTrip(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestDelay: a round trip takes both delays and hardly longer, and Set changes them.
func TestDelay(t *testing.T) {
	p := start(t, Config{ToRight: Link{Delay: 15 * time.Millisecond}, ToLeft: Link{Delay: 5 * time.Millisecond}})
	c, s := connect(t, p)
	echo(t, s)
	for _, delay := range []time.Duration{20 * time.Millisecond, 8 * time.Millisecond, 0} {
		if delay != 20*time.Millisecond {
			p.Set(Symmetric(Link{Delay: delay / 2}))
			roundTrip(t, c) // those under way keep their times
		}
		shortest := time.Hour // because a busy machine adds to most of them
		for range 10 {
			shortest = min(shortest, roundTrip(t, c))
		}
		if shortest < delay || shortest > delay+10*time.Millisecond {
			t.Errorf("shortest of 10 round trips is %s, want %s", shortest, delay)
		}
	}
}

// TestPackets: UDP works too, and so does a connection that leaves from the right.
func TestPackets(t *testing.T) {
	p := start(t, Symmetric(Link{Delay: time.Millisecond}))
	left, err := p.Left.ListenPacket("udp", net.JoinHostPort(p.Left.Addr(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	left.SetDeadline(time.Now().Add(testMax))
	right, err := p.Right.Dial(t.Context(), "udp", left.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer right.Close()
	want := bytes.Repeat([]byte("x"), MTU-28)
	if _, err := right.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, MTU)
	n, from, err := left.ReadFrom(got)
	if err != nil || !bytes.Equal(got[:n], want) || from.String() != right.LocalAddr().String() {
		t.Errorf("received %d bytes from %v, %v, want %d from %v", n, from, err, len(want), right.LocalAddr())
	}
}

// pour sends n bytes from c to s, checks that they arrive intact and returns how long they
// took.
func pour(t *testing.T, c, s *net.TCPConn, n int) time.Duration {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	began := time.Now()
	failed := make(chan error, 1)
	go func() { // received below
		_, err := c.Write(data)
		failed <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	took := time.Since(began)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("received %d bytes that differ from the %d sent", len(got), n)
	}
	return took
}

// TestRate: the rate is not exceeded, and a queue too small for the sender's window drops
// packets, which the kernels repair.
func TestRate(t *testing.T) {
	const rate, n = 2_000_000, 1_000_000
	p := start(t, Symmetric(Link{Delay: 10 * time.Millisecond, Rate: rate, Queue: 20_000}))
	c, s := connect(t, p)
	if took, least := pour(t, c, s, n), time.Second*n/rate; took < least {
		t.Errorf("%d bytes took %s, want at least %s", n, took, least)
	}
	if right, left := p.Counters(); right.Dropped == 0 || right.Bytes < n || right.Delivered < n/MTU || left.Dropped != 0 {
		t.Errorf("counters = %+v and %+v, want packets dropped to the right only", right, left)
	}
}

// TestSetCongestion: new connections over the path use what is selected, and an unknown
// name fails.
func TestSetCongestion(t *testing.T) {
	p := start(t, Config{})
	if err := p.SetCongestion("reno"); err != nil { // every kernel has it
		t.Fatal(err)
	}
	left, right := connect(t, p)
	for _, c := range []*net.TCPConn{left, right} {
		if got := congestion(t, c); got != "reno" {
			t.Errorf("congestion control = %q, want reno", got)
		}
	}
	if err := p.SetCongestion("nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("SetCongestion(nosuch) = %v, want an error that names it", err)
	}
}

// TestStart: a process runs in the namespace it was started in and sees only its devices.
func TestStart(t *testing.T) {
	p := start(t, Config{})
	for _, n := range []*Namespace{p.Left, p.Right} {
		var out bytes.Buffer
		cmd := exec.Command("cat", "/proc/self/net/dev")
		cmd.Stdout = &out
		if err := n.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, "path0:") || !strings.Contains(got, "lo:") || strings.Contains(got, "eth0:") {
			t.Errorf("devices of the namespace are:\n%s\nwant path0 and lo", got)
		}
		ln, err := n.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Errorf("listen on the namespace's loopback: %v", err)
			continue
		}
		ln.Close()
	}
}

// TestClosed: a closed path refuses to be used, and closing it again does nothing.
func TestClosed(t *testing.T) {
	p := start(t, Config{})
	p.Close()
	p.Close()
	if _, err := p.Left.Listen("tcp", "127.0.0.1:0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen after Close = %v, want net.ErrClosed", err)
	}
	if _, err := p.Left.Dial(t.Context(), "tcp", "10.77.0.2:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial after Close = %v, want net.ErrClosed", err)
	}
}
