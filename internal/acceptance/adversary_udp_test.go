//go:build unix

package acceptance

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// udpApp is an application's end of an association.
type udpApp struct {
	*net.UDPConn
	control net.Conn
	relay   *net.UDPAddr
}

func newUDPApp(t testing.TB, proxy string) *udpApp {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	var told [12]byte
	_, err = c.Write([]byte("\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"))
	if err == nil {
		_, err = io.ReadFull(c, told[:])
	}
	if err != nil || told[3] != 0 || told[5] != 1 {
		t.Fatalf("UDP ASSOCIATE: reply % x, %v", told, err)
	}
	a := &udpApp{control: c, relay: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte(told[6:10])), uint16(told[10])<<8|uint16(told[11])))}
	a.UDPConn = udpFrom(t, "127.0.0.1")
	return a
}

func udpFrom(t testing.TB, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Skipf("this system has no %s: %v", ip, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (a *udpApp) say(b []byte) { _, _ = a.WriteToUDP(b, a.relay) }

// wantEcho sends data and expects its echo as the next datagram.
func (a *udpApp) wantEcho(t testing.TB, target *udpTarget, data string) {
	t.Helper()
	a.say(record("127.0.0.1", target.Port, data)[2:])
	_ = a.SetReadDeadline(time.Now().Add(patience / 2))
	b := make([]byte, 1<<16)
	n, _, err := a.ReadFromUDP(b)
	if want := string(record("127.0.0.1", target.Port, data)[2:]); err != nil || string(b[:n]) != want {
		t.Fatalf("echo of %.20q: %.40q, %v", data, b[:n], err)
	}
}

// TestAdversaryUDPPackets checks that malformed SOCKS5 datagrams, and those from other
// addresses, are dropped, and that the association survives.
func TestAdversaryUDPPackets(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1")
	target := newUDPTarget(t, "127.0.0.1", true)
	back := client.wantBack(64)
	a := newUDPApp(t, client.Addr)
	for _, ip := range []string{"127.0.0.2", "127.1.2.3"} { // before the application's first datagram
		_, _ = udpFrom(t, ip).WriteToUDP(record("127.0.0.1", target.Port, "bad stranger")[2:], a.relay)
	}
	a.wantEcho(t, target, "first")
	_, _ = udpFrom(t, "127.0.0.1").WriteToUDP(record("127.0.0.1", target.Port, "bad port")[2:], a.relay)
	good := record("127.0.0.1", target.Port, "bad")[2:]
	for i := range 10 { // a header truncated at each position
		a.say(good[:i])
	}
	for at, values := range map[int][]byte{2: {1, 2, 0x80, 0x81, 255}, 3: {0, 2, 3, 4, 5, 255}} {
		for _, v := range values {
			b := slices.Clone(good)
			b[at] = v
			if at == 3 && (v == 3 || v == 4) {
				b = append(b, "bad"...)
			}
			a.say(b)
		}
	}
	a.say(record("127.0.0.1", 0, "bad")[2:])
	for _, name := range []string{"", "a b", "a:1", "[::1]", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 255), "127.0.0.1\x00"} {
		a.say(record(name, target.Port, "bad")[2:])
	}
	a.say(append(record("127.0.0.1", target.Port, "")[2:], strings.Repeat("b", 65507-10)...)) // 65497 bytes: the maximum
	if !within(patience, func() bool { return len(target.heard()) >= 2 }) {
		t.Error("the largest datagram did not arrive")
	}
	_ = a.SetReadDeadline(time.Now().Add(patience))
	if n, _, err := a.ReadFromUDP(make([]byte, 1<<16)); err != nil || n != 65507 {
		t.Errorf("the echo of the largest datagram has %d bytes, %v", n, err)
	}
	_, _ = a.control.Write(noise(1 << 20)) // this data should not be read
	a.wantEcho(t, target, "last")
	for _, got := range target.heard() {
		if strings.HasPrefix(got, "bad") {
			t.Errorf("the target received %q", got)
		}
	}
	a.control.Close()
	a.Close()
	back()
}

// TestAdversaryUDPTargets checks that 10 000 targets and thousands of names that never
// resolve use few resources at both ends, and that the good target is still served.
func TestAdversaryUDPTargets(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return nil })
	server, client := startPair(t, "-remux.idle.max.sec=1", "-server.dns="+names.Addr(), "-server.dial.timeout.sec=2")
	target := newUDPTarget(t, "127.0.0.1", true)
	end := goodUser(t, client.Addr)
	backC, backS := client.wantBack(64), server.wantBack(64)
	a := newUDPApp(t, client.Addr)
	a.wantEcho(t, target, "first")
	for i := range 10_000 {
		a.say(record(fmt.Sprintf("127.%d.%d.%d", 1+i%200, i>>8, i&255), uint16(20000+i), "x")[2:])
		if i%4 == 0 {
			a.say(record(fmt.Sprintf("name%d.example", i), 9, strings.Repeat("x", 1000))[2:])
		}
		if i%500 == 0 {
			a.wantEcho(t, target, fmt.Sprint("alongside ", i))
		}
	}
	a.wantEcho(t, target, "last")
	if n := server.fds(); n > 600 {
		t.Errorf("the server has %d descriptors open, want 600 at most", n)
	}
	a.control.Close()
	end()
	backC()
	backS()
}

// TestAdversaryUDPMany checks that hundreds of associations, ended in various ways,
// release all their resources.
func TestAdversaryUDPMany(t *testing.T) {
	t.Parallel()
	server, client := startPair(t, "-remux.idle.max.sec=1")
	target := newUDPTarget(t, "127.0.0.1", true)
	end := goodUser(t, client.Addr)
	backC, backS := client.wantBack(96), server.wantBack(96)
	var all []*udpApp
	for i := range 300 {
		a := newUDPApp(t, client.Addr)
		all = append(all, a)
		if i%2 == 0 {
			a.wantEcho(t, target, "hello")
		}
	}
	for i, a := range all {
		if i%3 == 0 {
			_ = a.control.(*net.TCPConn).SetLinger(0)
		}
		a.control.Close()
		a.say(record("127.0.0.1", target.Port, "late")[2:])
		a.Close()
	}
	end()
	backC()
	backS()
}

// TestAdversaryUDPAnswers checks that the exit accepts datagrams only from addresses it
// has sent datagrams to.
func TestAdversaryUDPAnswers(t *testing.T) {
	t.Parallel()
	_, client := startPair(t)
	a := newUDPApp(t, client.Addr)
	target := udpFrom(t, "127.0.0.1")
	a.say(record("127.0.0.1", uint16(target.LocalAddr().(*net.UDPAddr).Port), "hello")[2:])
	_ = target.SetReadDeadline(time.Now().Add(patience))
	_, exit, err := target.ReadFromUDP(make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"127.0.0.2", "127.9.9.9"} {
		stranger := udpFrom(t, ip)
		for range 100 {
			_, _ = stranger.WriteToUDP([]byte("bad"), exit)
		}
	}
	_, _ = target.WriteToUDP([]byte("good"), exit)
	_ = a.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	if n, _, err := a.ReadFromUDP(b); err != nil || !strings.HasSuffix(string(b[:n]), "good") {
		t.Errorf("the first datagram received is %q, %v; want the target's", b[:n], err)
	}
}
