//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// linkRig is a server, a client and the network between them.
type linkRig struct {
	both   []string // arguments for both ends
	server *process
	relay  *testnet.Relay
	client *process
}

// linkSetup configures a linkRig.
type linkSetup struct {
	delay          time.Duration // one way
	both           []string      // arguments of the form -name=value
	server, client []string      // arguments for one end
}

// linkUp starts a rig and waits for its first conn.
func linkUp(t testing.TB, s linkSetup) *linkRig {
	t.Helper()
	r := &linkRig{both: s.both, server: startServer(t, slices.Concat(s.both, s.server)...)}
	r.behind(t, s)
	return r
}

// behind starts the network in front of the rig's server, and the client behind it.
func (r *linkRig) behind(t testing.TB, s linkSetup) {
	t.Helper()
	r.relay = testnet.NewRelay(t, r.server.Addr)
	r.relay.SetDelay(s.delay)
	r.client = r.addClient(t, slices.Concat(s.both, s.client)...)
}

// addClient starts another client behind the relay. If the client uses conns, it waits
// for the first.
func (r *linkRig) addClient(t testing.TB, args ...string) *process {
	t.Helper()
	p := startClient(t, append([]string{"-server.addr=" + r.relay.Addr}, args...)...)
	if flagValue(args, "eagersocks.net") == "" {
		p.waitLog(`\[conn\] \+`)
	}
	return p
}

// lines returns the log lines that contain all the given words.
func (p *process) lines(words ...string) []string {
	var found []string
	for line := range strings.Lines(p.log()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// wantLine waits for a log line that contains all the given words.
func (p *process) wantLine(limit time.Duration, words ...string) {
	p.t.Helper()
	if !within(limit, func() bool { return len(p.lines(words...)) > 0 }) {
		p.t.Errorf("%s log: no line with %q within %v", p.Name, words, limit)
	}
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// rss returns the process's resident memory in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.t.Skipf("cannot read the memory usage on this system: %v", err)
	}
	m := vmRSS.FindSubmatch(b)
	if m == nil {
		p.t.Fatalf("%s: no VmRSS", p.Name)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kb << 10
}

// linkRefused is a SOCKS5 reply other than success.
type linkRefused byte

func (e linkRefused) Error() string { return fmt.Sprintf("SOCKS5 reply %d", byte(e)) }

// linkDial connects to target through the proxy.
func linkDial(ctx context.Context, proxy, target string) (*net.TCPConn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	c := nc.(*net.TCPConn)
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := linkConnect(c, target); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// linkConnect performs the client's side of a SOCKS5 handshake on c.
func linkConnect(c net.Conn, target string) error {
	ap, err := netip.ParseAddrPort(target)
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte{5, 1, 0}); err != nil {
		return err
	}
	var b [10]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return fmt.Errorf("SOCKS5 method: %w", err)
	}
	req := append([]byte{5, 1, 0, 1}, ap.Addr().Unmap().AsSlice()...)
	if _, err := c.Write(append(req, byte(ap.Port()>>8), byte(ap.Port()))); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return fmt.Errorf("SOCKS5 reply: %w", err)
	}
	if b[1] != 0 {
		return linkRefused(b[1])
	}
	return nil
}

// linkAsk makes one request to an echo server and returns the time from the first byte sent to
// the proxy to the first byte received.
func linkAsk(ctx context.Context, proxy, target string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	begin := time.Now()
	c, err := linkDial(ctx, proxy, target)
	if err != nil {
		return time.Since(begin), err
	}
	defer c.Close()
	if _, err := c.Write([]byte("?")); err != nil {
		return time.Since(begin), err
	}
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil {
		return time.Since(begin), err
	}
	took := time.Since(begin)
	_ = c.CloseWrite()
	_, err = c.Read(b[:])
	if err != io.EOF {
		return took, fmt.Errorf("waiting for EOF: %w", err)
	}
	return took, nil
}

// linkTry makes requests until one succeeds.
func linkTry(t testing.TB, limit time.Duration, proxy, target string) time.Duration {
	t.Helper()
	begin := time.Now()
	var last error
	within(limit, func() bool {
		_, last = linkAsk(t.Context(), proxy, target)
		return last == nil
	})
	if last != nil {
		t.Errorf("no successful request within %v: %v", limit, last)
	}
	return time.Since(begin)
}

// linkCurl runs curl through the proxy.
func linkCurl(t testing.TB, proxy string, args ...string) result {
	t.Helper()
	return job{Limit: 40 * time.Second}.run(t, "curl", append([]string{"-sS", "--max-time", "30", "-x", "socks5h://" + proxy}, args...)...)
}

// linkPause sleeps if the pause itself is part of the scenario.
func linkPause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}

func linkMedian[T int64 | float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
