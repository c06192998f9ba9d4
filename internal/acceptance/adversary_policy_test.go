//go:build unix

package acceptance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// loopbackSpellings lists hosts that all lead to this machine. The names among them are
// resolved by a server that returns 127.0.0.1 and ::1 for every name.
var loopbackSpellings = []string{"127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1.2.3", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "::ffff:0:127.0.0.1",
	"64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "64:ff9b::0.0.0.0", "2002:7f00:1::", "2001:0:7f00:1::80ff:fffe",
	"localhost", "LOCALHOST", "LocalHost.", "localhost.localdomain", "ip6-localhost", "a.localhost", "a.LOCALHOST.", "127.0.0.1.nip.io", "rebind.example", "xn--localhost"}

// noNames lists hosts that lead to this machine if a program parses them leniently as
// addresses or normalizes their characters. They do not exist as names, so the reply
// must have code 4.
var noNames = []string{"127.0.0.1.", "127.1", "127.0.1", "0177.0.0.1", "0x7f.1", "0x7f.0.0.1", "0x7f000001", "0x0", "2130706433", "017700000001", "127.00.00.01", "0",
	"\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1"}

// privateSpellings lists hosts on private networks, and metadata services.
var privateSpellings = []string{"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.100.100.200", "100.64.0.1", "0.0.0.1", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1",
	"192.0.0.192", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::192.168.0.1", "64:ff9b:1::10.0.0.1", "2002:0a00:1::1", "2002:a9fe:a9fe::", "::10.0.0.1", "::ffff:0:10.0.0.1",
	"fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "ff02::1", "ff05::1:3", "ff0e::1"}

// TestAdversaryPolicyConnect checks that by default, targets on this machine or on
// private networks are refused in every spelling, with code 2 and one log line.
func TestAdversaryPolicyConnect(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks })
	sink := testnet.Sink(t)
	port := portOf(t, sink.Addr)
	for hosts := range slices.Chunk(slices.Concat(loopbackSpellings, privateSpellings, noNames), 20) {
		// Each group has its own server, so that no refusals are omitted from the log.
		server := startStrict(t, "-eagersocks.net=tcp", "-server.dns="+names.Addr(), "-server.dial.timeout.sec=2")
		refused := map[string]bool{}
		for _, host := range hosts {
			want := 2
			if slices.Contains(noNames, host) {
				want = 4
			}
			code, c, err := exitSays(byTCP(server.Addr), request(1, host, port))
			if code != want {
				t.Errorf("CONNECT %s: code %d, %v; want %d", host, code, err, want)
			}
			if code == 2 {
				refused[plainly(host)] = true
			}
			c.Close()
		}
		// The log lines are written after the replies.
		eventually(t, soon, "the log has a line for each refused target", func() bool {
			return len(server.lines("refused client", "target ")) >= len(refused)
		})
		if n := len(server.lines("refused client", "target ")); n != len(refused) {
			t.Errorf("%d log lines for %d refused targets:\n%s", n, len(refused), strings.Join(server.lines("refused"), "\n"))
		}
	}
	if n := sink.Accepted(); n != 0 {
		t.Errorf("%d of them reached the target", n)
	}
}

// plainly returns the host as it appears in the log, where an IPv4-mapped IPv6 address
// is written as IPv4.
func plainly(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return host
}

// TestAdversaryPolicyLog checks that repeated refusals are logged as one line with a
// count, and that requests for many different targets cannot flood the log.
func TestAdversaryPolicyLog(t *testing.T) {
	t.Parallel()
	server := startStrict(t, "-eagersocks.net=tcp")
	for i := range 1000 {
		_, c, _ := exitSays(byTCP(server.Addr), request(1, "127.0.0.1", 9))
		c.Close()
		_, c, _ = exitSays(byTCP(server.Addr), request(1, fmt.Sprintf("127.0.%d.%d", 1+i>>8, i&255), 9))
		c.Close()
	}
	if n := len(server.lines("refused client", "target 127.0.0.1:9")); n < 1 || n > 2 {
		t.Errorf("%d log lines for one target that was refused 1000 times, want 1 or 2", n)
	}
	if n := len(server.lines("refused client")); n > 200 {
		t.Errorf("%d log lines for 1000 targets, want 200 at most", n)
	}
}

// TestAdversaryPolicyAllowed checks that if one port on loopback is allowed, names and
// IPv4 addresses reach that port, but no other.
func TestAdversaryPolicyAllowed(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks[:1] })
	sink := testnet.Sink(t)
	port := portOf(t, sink.Addr)
	server := startStrict(t, "-eagersocks.net=tcp", fmt.Sprintf("-server.allow=loopback:%d", port), "-server.dns="+names.Addr(), "-server.dial.timeout.sec=2")
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "localhost", "LocalHost.", "a.localhost", "127.0.0.1.nip.io", "rebind.example"} {
		code, c, err := exitSays(byTCP(server.Addr), request(1, host, port))
		if code != 0 {
			t.Errorf("CONNECT %s: code %d, %v; want 0", host, code, err)
		}
		c.Close()
		code, c, err = exitSays(byTCP(server.Addr), request(1, host, port^1))
		if code != 2 {
			t.Errorf("CONNECT %s on another port: code %d, %v; want 2", host, code, err)
		}
		c.Close()
	}
}

// TestAdversaryPolicyUDP is TestAdversaryPolicyConnect for datagrams, with one allowed
// target.
func TestAdversaryPolicyUDP(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks })
	good := newUDPTarget(t, "127.0.0.1", true)
	bad, bad6 := newUDPTarget(t, "0.0.0.0", false), newUDPTarget(t, "::", false)
	server := startStrict(t, "-eagersocks.net=tcp", fmt.Sprintf("-server.allow=127.0.0.1:%d", good.Port), "-server.dns="+names.Addr(), "-server.dial.timeout.sec=2")
	code, c, err := exitSays(byTCP(server.Addr), request(3, "0.0.0.0", 0))
	if code != 0 {
		t.Fatalf("association: code %d, %v", code, err)
	}
	defer c.Close()
	for _, host := range slices.Concat(loopbackSpellings, privateSpellings, noNames) {
		for _, port := range []uint16{bad.Port, bad6.Port} {
			_, _ = c.Write(record(host, port, host))
		}
		// Wait for each round to finish, because datagrams may be dropped if the
		// buffers are full.
		ping := record("127.0.0.1", good.Port, host)
		_, _ = c.Write(ping)
		if _, err := io.ReadFull(c, make([]byte, len(ping))); err != nil {
			t.Fatalf("the allowed target, after %s: %v", host, err)
		}
	}
	c.Close()
	want := fmt.Sprintf("%d dropped, %d refused", 2*len(noNames), 2*len(loopbackSpellings)+2*len(privateSpellings))
	server.wantLine(patience/2, "[sock] - udp:", want)
	if got := append(bad.heard(), bad6.heard()...); len(got) > 0 {
		t.Errorf("forbidden targets received datagrams sent to %q", got)
	}
}

// TestAdversaryRebinding checks that a name whose addresses change from query to query
// never leads to an internal address, whether by CONNECT or by datagram.
func TestAdversaryRebinding(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	names := evilNames(t, func(name string) []netip.Addr {
		outside := netip.MustParseAddr("192.88.99.77") // unreachable
		switch n := asked.Add(1); {
		case strings.HasPrefix(name, "mixed"):
			return []netip.Addr{outside, loopbacks[0], loopbacks[1], netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::ffff:127.0.0.1")}
		case n%2 == 0:
			return loopbacks
		}
		return []netip.Addr{outside}
	})
	server := startStrict(t, "-eagersocks.net=tcp", "-server.dns="+names.Addr(), "-server.dial.timeout.sec=1")
	sink, udp := testnet.Sink(t), newUDPTarget(t, "127.0.0.1", false)
	_, assoc, err := exitSays(byTCP(server.Addr), request(3, "0.0.0.0", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer assoc.Close()
	over := make(chan int)
	for i := range 40 {
		name := fmt.Sprintf("%s%d.example", []string{"mixed", "flip"}[i%2], i/8)
		_, _ = assoc.Write(record(name, udp.Port, name))
		go func() {
			code, c, _ := exitSays(byTCP(server.Addr), request(1, name, portOf(t, sink.Addr)))
			c.Close()
			over <- code
		}()
	}
	for range 40 {
		if code := <-over; code == 0 || code == -1 {
			t.Errorf("a name that sometimes resolves to an internal address: code %d", code)
		}
	}
	if n := sink.Accepted(); n != 0 || len(udp.heard()) != 0 || asked.Load() < 10 {
		t.Errorf("%d connections and datagrams %q reached internal addresses after %d queries", n, udp.heard(), asked.Load())
	}
}

// TestAdversaryDenied checks that denied targets are refused in every spelling, even if
// everything else is allowed.
func TestAdversaryDenied(t *testing.T) {
	t.Parallel()
	var leaked atomic.Int64
	names := evilNames(t, func(name string) []netip.Addr {
		if strings.EqualFold(name, "denied.example") {
			leaked.Add(1)
		}
		return loopbacks[:1]
	})
	server := startServer(t, "-eagersocks.net=tcp", "-server.allow=all", "-server.deny=denied.example,*.below.example,127.0.0.66,10.9.0.0/16,::2", "-server.dns="+names.Addr())
	sink := testnet.Sink(t)
	port := portOf(t, sink.Addr)
	for _, host := range []string{"denied.example", "DENIED.Example", "denied.example.", "Denied.EXAMPLE.", "x.below.example", "a.b.BELOW.example.", "127.0.0.66", "::ffff:127.0.0.66", "64:ff9b::127.0.0.66", "10.9.1.1", "::ffff:10.9.1.1", "64:ff9b::10.9.1.1", "::2"} {
		code, c, err := exitSays(byTCP(server.Addr), request(1, host, port))
		if code != 2 {
			t.Errorf("CONNECT %s: code %d, %v; want 2", host, code, err)
		}
		c.Close()
	}
	for _, host := range []string{"denied.example..", ".denied.example", "denied..example", "denied\u3002example", "denied\uff0eexample", "\uff44enied.example", "den\u00adied.example"} {
		_, c, _ := exitSays(byTCP(server.Addr), request(1, host, port))
		c.Close()
	}
	if n := leaked.Load(); n != 0 {
		t.Errorf("the denied name was queried %d times", n)
	}
	code, c, err := exitSays(byTCP(server.Addr), request(1, "notdenied.example", port))
	if code != 0 {
		t.Errorf("CONNECT notdenied.example: code %d, %v", code, err)
	}
	c.Close()
}

// TestAdversaryPolicyFront is TestAdversaryPolicyConnect with HTTP requests through a
// client, as sent by browsers.
func TestAdversaryPolicyFront(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks })
	server := startStrict(t, "-server.dns="+names.Addr())
	client := startClient(t, "-server.addr="+server.Addr)
	sink := testnet.Sink(t)
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0", "0.0.0.0", "localhost", "LOCALHOST.", "127.0.0.1.", "rebind.example", "[64:ff9b::7f00:1]", "%31%32%37.0.0.1", "127%2e1"} {
		for _, form := range []string{"GET http://%s:%d/ HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n"} {
			told, _ := foe(t, client.Addr, fmt.Appendf(nil, form, host, portOf(t, sink.Addr)), true, 5*time.Second)
			if strings.HasPrefix(form, "GET") && !strings.HasPrefix(string(told), "HTTP/1.1 403 ") && !(strings.Contains(host, "%") && strings.HasPrefix(string(told), "HTTP/1.1 400 ")) && !(slices.Contains(noNames, host) && strings.HasPrefix(string(told), "HTTP/1.1 502 ")) {
				t.Errorf("GET http://%s/: %s, want 403", host, brief(string(told)))
			}
		}
	}
	if n := sink.Accepted(); n != 0 {
		t.Errorf("%d of them reached the target", n)
	}
}

// byTLS returns a function that dials the exit at addr with a client certificate from
// the common authority.
func byTLS(t testing.TB, addr, file string) func() (net.Conn, error) {
	t.Helper()
	pem, err := os.ReadFile(common(t).file(file))
	cert, err2 := tls.X509KeyPair(pem, pem)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) || err != nil || err2 != nil {
		t.Fatal("reading a certificate and CA from "+file, errors.Join(err, err2))
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: "localhost", NextProtos: []string{"tunnels-request/1"}}
	return func() (net.Conn, error) { return tls.Dial("tcp", addr, cfg) }
}

// TestAdversaryRules checks that a client cannot circumvent its rules with names for
// internal targets, other spellings or more connections.
func TestAdversaryRules(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks[:1] })
	sink := testnet.Sink(t)
	port := portOf(t, sink.Addr)
	rules := writeFile(t, "rules", []byte("[LAPTOP]\nonly = good.example, *.sub.example, 127.0.0.9\ndeny = evil.sub.example\nsess.max.cnt = 3\n"))
	server := startStrict(t, "-eagersocks.net=tls", "-server.rules="+rules, "-server.dns="+names.Addr())
	laptop := byTLS(t, server.Addr, "laptop.pem")
	for host, want := range map[string]int{"good.example": 2, "GOOD.example.": 2, "127.0.0.1": 2, "evil.sub.example": 2, "EVIL.sub.example.": 2, "other.example": 2, "::ffff:127.0.0.8": 2, "::ffff:127.0.0.9": -2, "127.0.0.9": -2, "a.sub.example": 2, "sub.example": 2, "8.8.8.8": 2} {
		code, c, err := exitSays(laptop, request(1, host, port))
		if want == 2 && code != 2 || want == -2 && (code == 2 || code == -1) {
			t.Errorf("CONNECT %s: code %d, %v; want %d", host, code, err, want)
		}
		if c != nil {
			c.Close()
		}
	}
	if n := sink.Accepted(); n != 0 { // it listens on 127.0.0.1 only
		t.Errorf("%d of them reached the target", n)
	}
	udp := newUDPTarget(t, "127.0.0.1", false)
	_, c, err := exitSays(laptop, request(3, "0.0.0.0", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, host := range []string{"good.example", "127.0.0.1", "evil.sub.example", "a.sub.example", "other.example"} {
		_, _ = c.Write(record(host, udp.Port, host))
	}
	eventually(t, patience, "five refused datagrams are logged", func() bool {
		return len(server.lines("refused client laptop", fmt.Sprint(udp.Port))) >= 5
	})
	if heard := udp.heard(); len(heard) > 0 {
		t.Errorf("the target received %q", heard)
	}
}
