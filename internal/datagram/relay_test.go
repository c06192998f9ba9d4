package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tunnels/internal/code"
)

func TestRelayCarries(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		if !hasRoute(netip.AddrPortFrom(netip.MustParseAddr(ip), 9)) {
			continue // no IPv6 on this machine
		}
		target := udp(t, ip)
		_, near, answers, ended := runRelay(t, anything())
		to := target.LocalAddr().String()
		for _, size := range []int{0, 1, 9000, 60_000} {
			data := strings.Repeat("x", size)
			say(t, near, record(t, to, data))
			from := receives(t, target, data)
			if _, err := target.WriteToUDPAddrPort([]byte(data), from); err != nil {
				t.Fatal(err)
			}
			if got, answer := next(t, answers); got != to || answer != data {
				t.Errorf("answer of %d bytes from %s, want %d from %s", len(answer), got, size, to)
			}
		}
		near.CloseWrite()
		if _, err := answers.next(); err != io.EOF {
			t.Errorf("the session ended with %v, want EOF", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run = %v after a clean end", err)
		}
	}
}

// TestOnePort: all targets see the same port, and a third party that learns it can send
// to it if datagrams were sent to its address.
func TestOnePort(t *testing.T) {
	a, b, friend := udp(t, "127.0.0.1"), udp(t, "127.0.0.1"), udp(t, "127.0.0.1")
	_, near, answers, _ := runRelay(t, anything())
	say(t, near, append(record(t, a.LocalAddr().String(), "a"), record(t, b.LocalAddr().String(), "b")...))
	us := receives(t, a, "a")
	if also := receives(t, b, "b"); also != us {
		t.Errorf("one target sees port %v, the other %v", us, also)
	}
	if _, err := friend.WriteToUDPAddrPort([]byte("hello"), us); err != nil {
		t.Fatal(err)
	}
	if from, data := next(t, answers); from != friend.LocalAddr().String() || data != "hello" {
		t.Errorf("got %q from %s", data, from)
	}
}

func TestRelayAcceptsOnlyFromTargets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("this machine has only one address to send from")
		return
	}
	target, stranger := udp(t, "127.0.0.1"), udp(t, "127.0.0.2")
	r, near, answers, _ := runRelay(t, anything())
	say(t, near, record(t, target.LocalAddr().String(), "x"))
	us := receives(t, target, "x")
	for range 3 {
		if _, err := stranger.WriteToUDPAddrPort([]byte("spam"), us); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := target.WriteToUDPAddrPort([]byte("answer"), us); err != nil {
		t.Fatal(err)
	}
	if _, data := next(t, answers); data != "answer" {
		t.Errorf("got %q from a stranger", data)
	}
	until(t, "three datagrams are ignored", func() bool { return r.Counts().Ignored == 3 })
}

// TestSlowNames: a name that is slow to resolve delays nothing else, and its datagrams
// stay in order.
func TestSlowNames(t *testing.T) {
	fast, slow := udp(t, "127.0.0.1"), udp(t, "127.0.0.1")
	goOn := make(chan struct{})
	exit := anything()
	exit.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host != "slow.test" {
			return nil, fmt.Errorf("unexpected name %q", host)
		}
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	r, near, answers, _ := runRelay(t, exit)
	_, port, _ := strings.Cut(slow.LocalAddr().String(), ":")
	for i := range 20 {
		say(t, near, record(t, "slow.test:"+port, fmt.Sprint(i)))
		say(t, near, record(t, fast.LocalAddr().String(), fmt.Sprint(i)))
		receives(t, fast, fmt.Sprint(i))
	}
	close(goOn)
	for i := range 100 { // before, while and after the queued datagrams are sent
		if i < 80 {
			say(t, near, record(t, "slow.test:"+port, fmt.Sprint(i+20)))
		}
		from := receives(t, slow, fmt.Sprint(i))
		if _, err := slow.WriteToUDPAddrPort([]byte("pong"), from); err != nil {
			t.Fatal(err)
		}
		// The source is the address the datagram came from, not the name.
		if source, _ := next(t, answers); source != slow.LocalAddr().String() {
			t.Errorf("answer from %s, want %v", source, slow.LocalAddr())
		}
	}
	if c := lost(r.Counts()); c != (Counts{}) {
		t.Errorf("counts are %+v, want none", c)
	}
}

// TestConcurrentLookups: concurrent lookups are limited, and canceled when the session
// ends.
func TestConcurrentLookups(t *testing.T) {
	var now, most atomic.Int32
	exit := anything()
	exit.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	exit.Refused = func(target Target, err error) { t.Errorf("Refused was called for %v: %v", target, err) }
	r, near, _, ended := runRelay(t, exit)
	for i := range 600 {
		say(t, near, record(t, fmt.Sprintf("name%d.test:53", i), "x"))
	}
	until(t, "the oldest names have been evicted", func() bool { return r.Counts().Dropped == 600-namesMax })
	until(t, "there are not many more goroutines than names", func() bool { return runtime.NumGoroutine() <= namesMax+lookupsMax+20 })
	near.CloseWrite()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if n := most.Load(); n == 0 || n > lookupsMax {
		t.Errorf("%d concurrent lookups, want 1 to %d", n, lookupsMax)
	}
}

// judged is an Exit with a policy that records the calls to Refused.
type judged struct {
	Exit
	mu      sync.Mutex
	refused []string // guarded by mu
}

func judgedBy(deny func(a netip.AddrPort, via string) bool) *judged {
	j := &judged{Exit: anything()}
	j.AllowAddr = func(a netip.AddrPort, via string) error {
		if deny(a, via) {
			return &code.Error{Code: code.NotAllowed, Text: "no " + a.String()}
		}
		return nil
	}
	j.Refused = func(target Target, err error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.refused = append(j.refused, target.String()+": "+err.Error())
	}
	return j
}

func (j *judged) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.refused...)
}

// TestPolicyForEachDatagram: policy is rechecked for every datagram to the same target.
func TestPolicyForEachDatagram(t *testing.T) {
	target := udp(t, "127.0.0.1")
	var denied atomic.Bool
	j := judgedBy(func(netip.AddrPort, string) bool { return denied.Load() })
	j.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, nil
	}
	r, near, _, _ := runRelay(t, j.Exit)
	_, port, _ := strings.Cut(target.LocalAddr().String(), ":")
	for _, to := range []string{"127.0.0.1:" + port, "host.test:" + port} {
		denied.Store(false)
		before := r.Counts().Refused
		say(t, near, record(t, to, "allowed"))
		receives(t, target, "allowed")
		denied.Store(true)
		say(t, near, record(t, to, "refused"))
		until(t, "the second is refused", func() bool { return r.Counts().Refused == before+1 })
		denied.Store(false)
		say(t, near, record(t, to, "allowed again"))
		receives(t, target, "allowed again")
	}
}

// TestNameWithForbiddenAddress: only a name's allowed addresses are used; if it has
// none, the datagram is refused.
func TestNameWithForbiddenAddress(t *testing.T) {
	target := udp(t, "127.0.0.1")
	j := judgedBy(func(a netip.AddrPort, via string) bool {
		return a.Addr() == netip.MustParseAddr("10.0.0.1") && via != ""
	})
	j.AllowName = func(host string, _ uint16) error {
		if host == "denied.test" {
			return &code.Error{Code: code.NotAllowed, Text: "no " + host}
		}
		return nil
	}
	j.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		ips := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		if host == "both.test" {
			ips = append(ips, netip.MustParseAddr("127.0.0.1"))
		}
		return ips, nil
	}
	r, near, _, _ := runRelay(t, j.Exit)
	_, port, _ := strings.Cut(target.LocalAddr().String(), ":")
	for i := range 3 {
		say(t, near, record(t, "inner.test:"+port, "x"))
		say(t, near, record(t, "denied.test:"+port, "x"))
		until(t, "both are refused", func() bool { return r.Counts().Refused == uint64(2*i+2) })
	}
	say(t, near, record(t, "both.test:"+port, "x"))
	receives(t, target, "x")
	if refused := j.all(); len(refused) != 2 || !strings.Contains(refused[0]+refused[1], "inner.test:"+port+": no 10.0.0.1:"+port) {
		t.Errorf("Refused was called with %q, want one call each", refused)
	}
}

func TestRefusalsAreReportedOnce(t *testing.T) {
	j := judgedBy(func(netip.AddrPort, string) bool { return true })
	r, near, _, _ := runRelay(t, j.Exit)
	for range 2 {
		for i := range 300 {
			say(t, near, record(t, fmt.Sprintf("192.0.2.1:%d", 1000+i), "x"))
		}
	}
	until(t, "all are refused", func() bool { return r.Counts().Refused == 600 })
	if refused := j.all(); len(refused) != reportedMax {
		t.Errorf("Refused was called %d times, want %d", len(refused), reportedMax)
	}
	if n := len(r.table.targets); n != 0 {
		t.Errorf("%d refused targets take up room in the table", n)
	}
}

// TestRelaySurvives: datagrams that cannot be sent are counted and do not end the
// relay.
func TestRelaySurvives(t *testing.T) {
	target := udp(t, "127.0.0.1")
	to := target.LocalAddr().String()
	closed := udp(t, "127.0.0.1")
	closed.Close()
	j := judgedBy(func(netip.AddrPort, string) bool { return false })
	r, near, _, _ := runRelay(t, j.Exit)
	fragment := record(t, to, "fragment")
	fragment[2+2] = 1
	for i := range 5 {
		say(t, near, record(t, to, strings.Repeat("x", 65_520))) // the maximum over IPv4 is 65 507
		say(t, near, record(t, "dead.test:53", "x"))
		say(t, near, record(t, closed.LocalAddr().String(), "x"))
		say(t, near, fragment)
		say(t, near, record(t, to, "small"))
		receives(t, target, "small")
		until(t, "the others are counted", func() bool { return lost(r.Counts()) == Counts{Dropped: 2 * uint64(i+1), Ignored: uint64(i + 1)} })
	}
	if refused := j.all(); len(refused) != 2 {
		t.Errorf("Refused was called with %q, want the name and the size", refused)
	}
}

func TestProtocolErrorEndsRelay(t *testing.T) {
	for _, wire := range []string{"\x00\x00", "\x00\x04\x00\x00\x00\x01", "\x00\x0a\x00\x01\x00\x01\xc0\x00\x02\x01\x00\x35"} {
		_, near, _, ended := runRelay(t, anything())
		say(t, near, []byte(wire))
		wantCode(t, fmt.Sprintf("Run after %q", wire), <-ended, code.Protocol)
	}
	_, near, _, ended := runRelay(t, anything())
	say(t, near, []byte("\x00\x0a\x00"))
	near.CloseWrite()
	if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Run after a truncated record = %v, want unexpected EOF", err)
	}
}

// TestClientDoesNotRead: answers that cannot be delivered are dropped, oldest
// first.
func TestClientDoesNotRead(t *testing.T) {
	target := udp(t, "127.0.0.1")
	r, near, _, ended := runRelay(t, anything())
	_ = near.SetReadBuffer(4 << 10)
	say(t, near, record(t, target.LocalAddr().String(), "x"))
	us := receives(t, target, "x")
	block := make([]byte, 30_000)
	until(t, "answers are dropped", func() bool {
		_, err := target.WriteToUDPAddrPort(block, us)
		return err == nil && r.Counts().Dropped > 10
	})
	_ = near.SetLinger(0)
	near.Close()
	<-ended // the TCP reset hits either the reader or the writer, so any result will do
}

// lost returns c without the counts of delivered bytes.
func lost(c Counts) Counts {
	c.Up, c.Down = 0, 0
	return c
}
