package datagram

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tunnels/internal/code"
)

// runAssociation runs an association for an application at 127.0.0.1. It returns the
// exit's end of the session and a reader for it, a function that ends the control
// connection, and a channel that receives Run's result.
func runAssociation(t *testing.T, hint string) (*Association, *net.TCPConn, *recordReader, context.CancelFunc, <-chan error) {
	t.Helper()
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	a, err := Listen(loopback, loopback, netip.MustParseAddrPort(hint))
	if err != nil {
		t.Fatal(err)
	}
	near, far := sessionPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		ended <- a.Run(ctx, near)
		near.Close()
		close(done)
	}()
	t.Cleanup(func() { far.Close(); <-done })
	return a, far, &recordReader{from: far}, cancel, ended
}

func (a *Association) sendFrom(t *testing.T, c *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, a.Addr()); err != nil {
		t.Fatal(err)
	}
}

func TestAssociationCarries(t *testing.T) {
	a, far, records, end, ended := runAssociation(t, "0.0.0.0:0")
	app := udp(t, "127.0.0.1")
	answer := record(t, "192.0.2.1:53", "answer")
	say(t, far, answer) // nothing is listening yet
	until(t, "that is dropped", func() bool { return a.Counts().Dropped == 1 })
	a.sendFrom(t, app, record(t, "dns.example:53", "question")[2:])
	if to, data := next(t, records); to != "dns.example:53" || data != "question" {
		t.Errorf("got %q for %s", data, to)
	}
	say(t, far, answer)
	if from := receives(t, app, string(answer[2:])); from != a.Addr() {
		t.Errorf("the answer's source is %v, want %v", from, a.Addr())
	}
	end()
	if _, err := records.next(); err != io.EOF {
		t.Errorf("the session ended with %v, want EOF", err)
	}
	far.Close()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v after the control connection closed", err)
	}
	if _, err := a.socket.Write(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket after Run: %v, want closed", err)
	}
}

// TestWhichPortIsAccepted: a hint naming one of the application's ports is honored,
// others are ignored; otherwise the first valid datagram determines the port.
func TestWhichPortIsAccepted(t *testing.T) {
	first, second := udp(t, "127.0.0.1"), udp(t, "127.0.0.1")
	port := second.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for hint, want := range map[netip.AddrPort]string{
		netip.MustParseAddrPort("0.0.0.0:0"):                              "first",
		netip.AddrPortFrom(netip.IPv4Unspecified(), port):                 "second",
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port):        "second",
		netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port): "second",
		netip.AddrPortFrom(netip.IPv6Unspecified(), port):                 "second",
		netip.AddrPortFrom(netip.MustParseAddr("192.168.1.7"), port):      "first", // behind NAT
	} {
		a, _, records, _, _ := runAssociation(t, hint.String())
		a.sendFrom(t, second, []byte("not a SOCKS5 datagram"))
		a.sendFrom(t, first, record(t, "192.0.2.1:53", "first")[2:])
		a.sendFrom(t, second, record(t, "192.0.2.1:53", "second")[2:])
		if _, data := next(t, records); data != want {
			t.Errorf("hint %v: received from %s, want %s", hint, data, want)
		}
		until(t, "the others are ignored", func() bool { return a.Counts().Ignored == 2 })
	}
}

func TestAssociationNeedsAnAddress(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, other := range []net.Addr{nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{}} {
		for _, pair := range [][2]net.Addr{{other, tcp}, {tcp, other}} {
			if a, err := Listen(pair[0], pair[1], netip.AddrPort{}); err == nil {
				a.Close()
				t.Errorf("Listen(%v, %v) = nil", pair[0], pair[1])
			}
		}
	}
}

// TestAssociationOverUNIX: a local application may use a UNIX socket for its control
// connection.
func TestAssociationOverUNIX(t *testing.T) {
	a, err := Listen(&net.UnixAddr{Name: "/x", Net: "unix"}, &net.UnixAddr{Net: "unix"}, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if at := a.Addr(); at.Addr() != netip.MustParseAddr("127.0.0.1") || at.Port() == 0 {
		t.Errorf("the address for the application is %v, want a port at 127.0.0.1", at)
	}
	if a.peer != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("datagrams are accepted from %v, want 127.0.0.1", a.peer)
	}
}

// TestQueuedDatagramsAreSent: datagrams sent before the application closed are still
// delivered.
func TestQueuedDatagramsAreSent(t *testing.T) {
	a, far, records, end, ended := runAssociation(t, "0.0.0.0:0")
	const n = 5
	for range n { // do what fromApplication does, because a test cannot observe its timing
		a.link.queue.put(mustTarget(t, "192.0.2.1:53"), []byte(strings.Repeat("x", 20_000)))
	}
	end()
	for range n {
		if _, data := next(t, records); len(data) != 20_000 {
			t.Errorf("got %d bytes, want 20000", len(data))
		}
	}
	far.Close()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestAssociationEndIsEnforced: an exit that never closes its direction cannot keep the
// association open.
func TestAssociationEndIsEnforced(t *testing.T) {
	_, _, _, end, ended := runAssociation(t, "0.0.0.0:0")
	start := time.Now()
	end()
	if err := <-ended; err != nil || time.Since(start) > 2*lingerMax {
		t.Errorf("Run = %v after %v", err, time.Since(start))
	}
}

func TestAssociationFails(t *testing.T) {
	for what, wire := range map[string][]byte{
		"no datagram": {0, 1, 0},
		"from a name": record(t, "dns.example:53", "x"),
		"no port":     []byte("\x00\x0a\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x00"),
	} {
		_, far, _, _, ended := runAssociation(t, "0.0.0.0:0")
		say(t, far, wire)
		wantCode(t, what, <-ended, code.Protocol)
	}
	_, far, _, _, ended := runAssociation(t, "0.0.0.0:0")
	_ = far.SetLinger(0)
	far.Close()
	if err := <-ended; err == nil {
		t.Error("Run = nil after a reset")
	}
}
