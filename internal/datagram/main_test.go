package datagram

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sessionPair returns the two ends of a session, as TCP connections.
func sessionPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); d.Close() })
	for _, x := range []net.Conn{c, d} {
		x.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// record returns a record for the target host:port, including its length.
func record(t testing.TB, target, data string) []byte {
	t.Helper()
	q := newQueue()
	q.put(mustTarget(t, target), []byte(data))
	b := getBuffer()
	defer putBuffer(b)
	return append([]byte(nil), b[:q.take(b)]...)
}

func mustTarget(t testing.TB, s string) Target {
	t.Helper()
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.LookupPort("udp", port)
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Port: uint16(n)}
	if target.IP, err = netip.ParseAddr(host); err != nil {
		target.Name = host
	}
	return target
}

// next returns the target and data of the next record.
func next(t testing.TB, r *recordReader) (target, data string) {
	t.Helper()
	b, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return d.target.String(), string(d.data)
}

func wantCode(t testing.TB, what string, err error, want code.Code) {
	t.Helper()
	if c, ok := code.Of(err); !ok || c != want {
		t.Errorf("%s = %v, want code %v", what, err, want)
	}
}

// udp returns a socket on a free port of ip.
func udp(t testing.TB, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// receives checks the next datagram a socket receives and returns its source.
func receives(t testing.TB, c *net.UDPConn, want string) netip.AddrPort {
	t.Helper()
	b := make([]byte, 65536)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("%v received %.50q, %v; want %.50q", c.LocalAddr(), b[:n], err, want)
	}
	return from
}

// anything returns an Exit that allows everything and resolves no names.
func anything() Exit {
	return Exit{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return nil, &code.Error{Code: code.HostUnreachable, Text: "no such host"}
		},
		AllowName: func(string, uint16) error { return nil },
		AllowAddr: func(netip.AddrPort, string) error { return nil },
	}
}

// runRelay runs a relay. It returns the client's end of the session and a reader for
// it, and a channel that receives Run's result.
func runRelay(t testing.TB, exit Exit) (*Relay, *net.TCPConn, *recordReader, <-chan error) {
	t.Helper()
	near, far := sessionPair(t)
	r := NewRelay(exit)
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		ended <- r.Run(far)
		far.Close()
		close(done)
	}()
	t.Cleanup(func() { near.Close(); <-done })
	return r, near, &recordReader{from: near}, ended
}

func say(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// until waits until cond is true.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}
