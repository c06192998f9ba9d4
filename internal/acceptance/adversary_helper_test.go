//go:build unix

package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/testnet"
)

// ending describes how a connection ended, as seen by its reader.
type ending string

const (
	clean ending = "clean end"
	reset ending = "reset"
	stays ending = "still open"
)

// foe sends say to addr and, if half is set, half-closes the connection. It returns the
// bytes received within limit, and how the connection ended.
func foe(t testing.TB, addr string, say []byte, half bool, limit time.Duration) (told []byte, end ending) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	go func() { // the peer may reject it halfway, or not read it at all
		_, _ = c.Write(say)
		if half {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	told, err = io.ReadAll(io.LimitReader(c, 1<<24))
	return told, endingOf(err)
}

func endingOf(err error) ending {
	switch {
	case err == nil:
		return clean
	case errors.Is(err, os.ErrDeadlineExceeded):
		return stays
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return reset
	}
	return ending(err.Error())
}

// recorder is an HTTP target that records every byte it receives.
type recorder struct {
	*testnet.Server
	mu  sync.Mutex
	got bytes.Buffer // guarded by mu
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(b)
}

// take returns the bytes recorded since the last call.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.got.String()
	r.got.Reset()
	return s
}

// newRecorder starts a recorder that responds to each request with its path. For /early
// it responds before reading the body.
func newRecorder(t testing.TB) *recorder {
	r := &recorder{}
	ready := make(chan struct{})
	r.Server = testnet.Serve(t, func(c *net.TCPConn) {
		<-ready
		in := bufio.NewReader(io.TeeReader(c, r))
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if req.URL.Path != "/early" {
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return
				}
			}
			path := req.URL.RequestURI()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	})
	close(ready)
	return r
}

// goodUser makes valid requests through the client at addr, alternating between HTTP
// and SOCKS, until end is called. The test fails if any request fails, or if none was
// made.
func goodUser(t testing.TB, addr string) (end func()) {
	site := web(t, serveText("good"))
	over := make(chan struct{})
	var wg sync.WaitGroup
	served := 0
	wg.Go(func() {
		for {
			for _, scheme := range []string{"http", "socks5"} {
				if err := askSite(addr, scheme, site.URL); err != nil {
					t.Errorf("a concurrent good request over %s: %v", scheme, err)
					return
				}
				served++
			}
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() {
		t.Helper()
		close(over)
		wg.Wait()
		if served < 2 {
			t.Errorf("%d concurrent good requests were served, want at least 2", served)
		}
	}
}

func askSite(proxy, scheme, site string) error {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: proxy}), DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr, Timeout: patience}).Get(site)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != 200 || string(b) != "good") {
		err = fmt.Errorf("status %s, %s", r.Status, brief(string(b)))
	}
	return err
}

// fds returns the number of descriptors the process has open.
func (p *process) fds() int {
	p.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	if err != nil {
		p.t.Skipf("cannot count descriptors on this system: %v", err)
	}
	return len(all)
}

// wantBack returns a function that waits until the process has as few descriptors as
// now, and checks that its memory has grown by at most mib MiB.
func (p *process) wantBack(mib int64) (check func()) {
	p.t.Helper()
	fds, rss := p.fds(), p.rss()
	if os.Getenv("ACCEPTANCE_BINARY") != "" {
		mib *= 5 // the race detector shadows all memory
	}
	return func() {
		p.t.Helper()
		if !within(patience, func() bool { return p.fds() <= fds+4 }) {
			p.t.Errorf("%s: %d descriptors are open, want about %d as before", p.Name, p.fds(), fds)
		}
		grown := func() int64 { return (p.rss() - rss) >> 20 }
		if !within(patience/2, func() bool { return grown() <= mib }) {
			p.t.Errorf("%s: grew by %d MiB, want at most %d", p.Name, grown(), mib)
		}
		p.t.Logf("%s: %d descriptors (before: %d), %d MiB more", p.Name, p.fds(), fds, grown())
	}
}

// evilNames starts a name server that resolves every name to the addresses returned by
// answer; nil means that it does not respond.
func evilNames(t testing.TB, answer func(name string) []netip.Addr) *testnet.DNS {
	return testnet.NewDNS(t, func(q *dnsmessage.Message, _ bool) []*dnsmessage.Message {
		addrs := answer(strings.TrimSuffix(q.Questions[0].Name.String(), "."))
		if addrs == nil {
			return nil
		}
		return []*dnsmessage.Message{testnet.DNSAnswer(q, 0, addrs...)}
	})
}

var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

// startStrict is like startServer, but does not allow loopback.
func startStrict(t testing.TB, args ...string) *process {
	t.Helper()
	all := []string{"-server", "-server.addr=127.0.0.1:0"}
	if !plain(args) {
		all = append(all, common(t).server()...)
	}
	p := startTunnels(t, "server", append(all, args...)...)
	p.ServerAddr = p.waitStdout(`^Server: listening on (\S+)$`)
	p.Addr = p.ServerAddr
	return p
}

// address encodes ATYP, ADDR and PORT. A host that is not an IP address is encoded as a
// name.
func address(host string, port uint16) (b []byte) {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil || ip.Zone() != "":
		b = append([]byte{3, byte(len(host))}, host...)
	case ip.Is4():
		b = append([]byte{1}, ip.AsSlice()...)
	default:
		b = append([]byte{4}, ip.AsSlice()...)
	}
	return append(b, byte(port>>8), byte(port))
}

// request encodes a request for which the exit must send a reply.
func request(cmd byte, host string, port uint16) []byte {
	return append([]byte{5, cmd, 1}, address(host, port)...)
}

// record encodes a datagram for an association.
func record(host string, port uint16, data string) []byte {
	b := append([]byte{0, 0, 0}, address(host, port)...)
	b = append(b, data...)
	return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
}

func portOf(t testing.TB, addr string) uint16 {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return ap.Port()
}

// exitSays sends a hand-crafted request to a server that does not use remux. It returns
// the connection, and the code from the reply, or -1 if there was no reply.
func exitSays(dial func() (net.Conn, error), req []byte) (code int, c net.Conn, err error) {
	if c, err = dial(); err != nil {
		return -1, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	var reply [10]byte
	if _, err = c.Write(req); err == nil {
		_, err = io.ReadFull(c, reply[:])
	}
	if err != nil {
		return -1, c, err
	}
	return int(reply[1]), c, nil
}

// byTCP returns a function that dials the exit at addr.
func byTCP(addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", addr) }
}

// udpTarget is a UDP socket on loopback that records the datagrams it receives and
// optionally echoes them.
type udpTarget struct {
	Addr string
	Port uint16
	mu   sync.Mutex
	all  []string // guarded by mu
}

func newUDPTarget(t testing.TB, ip string, echo bool) *udpTarget {
	t.Helper()
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(context.Background(), "udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u := &udpTarget{Addr: pc.LocalAddr().String(), Port: uint16(pc.LocalAddr().(*net.UDPAddr).Port)}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			u.mu.Lock()
			u.all = append(u.all, string(b[:min(n, 100)]))
			u.mu.Unlock()
			if echo {
				_, _ = pc.WriteTo(b[:n], from)
			}
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return u
}

func (u *udpTarget) heard() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.all...)
}
