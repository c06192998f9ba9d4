//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// linkRTT is long compared to delays on a busy machine, so one round trip can be
// distinguished from two.
const linkRTT = 100 * time.Millisecond

// linkBurstRTT is longer, because a burst does all its work at once.
const linkBurstRTT = 2 * linkRTT

var sessOpened = regexp.MustCompile(`\[sess\] \+ (([0-9a-f]{8}):\d+) `)

// sessions returns the client's sessions in the order they were opened, as
// `conn:number`, and their conns.
func (r *linkRig) sessions() (ids, conns []string) {
	for _, l := range r.client.lines("[sess] +") {
		m := sessOpened.FindStringSubmatch(l)
		ids, conns = append(ids, m[1]), append(conns, m[2])
	}
	return ids, conns
}

// TestLinkLatency measures round trips. Its parts run in parallel with each other, but
// not with other tests.
func TestLinkLatency(t *testing.T) {
	for _, tt := range []struct {
		name    string
		measure func(*testing.T, *linkClock)
	}{
		{"sequence", linkSequence},
		{"first bytes", linkFirstBytes},
		{"burst", linkBursts},
		{"cold burst", linkColdBurst},
		{"rotation by count", func(t *testing.T, k *linkClock) { linkRotation(t, k, 20, 5, "-remux.reuse.max.cnt=4") }},
		{"rotation by age", func(t *testing.T, k *linkClock) { linkRotation(t, k, 25, 2, "-remux.reuse.max.sec=2") }},
		{"aged while idle", linkAgedWhileIdle},
		{"server speaks first", linkServerSpeaksFirst},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			linkOnTime(t, tt.measure)
		})
	}
}

// linkClock records the labels of operations that took more than one round trip.
type linkClock struct {
	scale time.Duration // multiplier for round trips; immutable after creation

	mu   sync.Mutex
	late []string // guarded by mu
}

// of returns the round-trip time scaled for this attempt.
func (k *linkClock) of(rtt time.Duration) time.Duration { return rtt * k.scale }

// one records the operation called what as late if it took more than 1.5 round trips.
func (k *linkClock) one(what string, took, rtt time.Duration) {
	if took > rtt+rtt/2 {
		k.mu.Lock()
		k.late = append(k.late, fmt.Sprintf("%s: %v, want one round trip of %v", what, took, rtt))
		k.mu.Unlock()
	}
}

// linkOnTime runs measure and, if any operation was late, repeats it up to twice with
// round trips four times as long. This makes an extra round trip longer, but not the
// delays on a busy machine. Errors are not retried.
func linkOnTime(t *testing.T, measure func(*testing.T, *linkClock)) {
	const attempts = 3
	scale := time.Duration(1)
	for i := range attempts {
		k := &linkClock{scale: scale}
		scale *= 4
		measure(t, k)
		switch {
		case len(k.late) == 0 || t.Failed():
			return
		case i < attempts-1:
			t.Logf("late, measuring again:\n%s", strings.Join(k.late, "\n"))
		default:
			t.Errorf("late for the third time:\n%s", strings.Join(k.late, "\n"))
		}
	}
}

// linkSequence checks that sixteen requests use the first conn, and that the next
// request uses a second one that was ready before it was needed.
func linkSequence(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkRTT) / 2})
	echo := testnet.Echo(t)
	var before []string // the log before the request
	for i := range 33 {
		before = append(before, r.client.log())
		took, err := linkAsk(t.Context(), r.client.Addr, echo.Addr)
		if err != nil || took < k.of(linkRTT) {
			t.Fatalf("request %d: %v after %v", i+1, err, took)
		}
		k.one(fmt.Sprintf("request %d", i+1), took, k.of(linkRTT))
	}
	ids, conns := r.sessions()
	if len(conns) != 33 {
		t.Fatalf("%d sessions in the client's log, want 33: %v", len(conns), ids)
	}
	for i, c := range conns {
		if c != conns[i/16*16] {
			t.Errorf("session %d is %s, want it on conn %s", i+1, ids[i], conns[i/16*16])
		}
	}
	for _, i := range []int{16, 32} {
		if conns[i] == conns[i-1] {
			t.Errorf("session %d is still on conn %s", i+1, conns[i])
		}
		if !strings.Contains(before[i], "[conn] + "+conns[i]) {
			t.Errorf("conn %s was not ready for request %d, the first on it", conns[i], i+1)
		}
	}
	for _, id := range ids { // both ends use the same session ids
		r.server.wantLine(patience, "[sess] + "+id+" ")
	}
}

// linkFirstBytes checks that a request takes one round trip, even the first one after
// startup.
func linkFirstBytes(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkRTT) / 2})
	echo := testnet.Echo(t)
	for i := range 3 {
		k.ask(t, fmt.Sprintf("request %d after the start", i+1), r.client.Addr, echo.Addr, k.of(linkRTT))
	}
}

// ask makes a request that should take one round trip.
func (k *linkClock) ask(t *testing.T, what, proxy, target string, rtt time.Duration) time.Duration {
	t.Helper()
	took, err := linkAsk(t.Context(), proxy, target)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	k.one(what, took, rtt)
	return took
}

// linkBursts makes 32 concurrent requests right after the first one, and again while
// the used-up conn is being replaced.
func linkBursts(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkBurstRTT) / 2})
	echo := testnet.Echo(t)
	k.ask(t, "first request", r.client.Addr, echo.Addr, k.of(linkBurstRTT))
	for _, name := range []string{"burst", "second burst"} {
		all := linkBurst(t, 32, r.client.Addr, echo.Addr)
		t.Logf("%s of 32: min %v, median %v, max %v", name, all[0], all[16], all[31])
		k.one("slowest of a "+name+" of 32", all[31], k.of(linkBurstRTT))
	}
}

// linkBurst makes n concurrent requests and returns the times they took, sorted.
func linkBurst(t *testing.T, n int, proxy, target string) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if took[i], err = linkAsk(t.Context(), proxy, target); err != nil {
				t.Errorf("request %d of %d: %v", i+1, n, err)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// linkColdBurst makes the first 32 requests concurrently.
func linkColdBurst(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkBurstRTT) / 2})
	echo := testnet.Echo(t)
	all := linkBurst(t, 32, r.client.Addr, echo.Addr)
	t.Logf("burst of 32: min %v, median %v, max %v", all[0], all[16], all[31])
	k.one("slowest of 32 first requests", all[31], k.of(linkBurstRTT))
}

// linkRotation checks that replacing conns causes no delay. It makes n requests, which
// must use no fewer than least conns.
func linkRotation(t *testing.T, k *linkClock, n, least int, rule string) {
	r := linkUp(t, linkSetup{delay: k.of(linkRTT) / 2, client: []string{rule}})
	echo := testnet.Echo(t)
	var all []time.Duration
	for i := range n {
		all = append(all, k.ask(t, fmt.Sprintf("request %d", i+1), r.client.Addr, echo.Addr, k.of(linkRTT)))
	}
	_, used := r.sessions()
	conns := slices.Compact(used)
	if len(conns) < least {
		t.Errorf("%d requests used %d conns, want at least %d", n, len(conns), least)
	}
	t.Logf("median %v, slowest %v on %d conns", linkMedian(all), slices.Max(all), len(conns))
}

// linkAgedWhileIdle makes requests with pauses longer than a conn's maximum age, but
// shorter than its idle timeout.
func linkAgedWhileIdle(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkRTT) / 2, client: []string{"-remux.reuse.max.sec=2"}})
	echo := testnet.Echo(t)
	for i := range 3 {
		if i > 0 {
			linkPause(2500 * time.Millisecond) // the pause is part of the test
		}
		k.ask(t, fmt.Sprintf("request %d", i+1), r.client.Addr, echo.Addr, k.of(linkRTT))
	}
}

// linkServerSpeaksFirst connects to a target that sends a banner before it receives any
// data.
func linkServerSpeaksFirst(t *testing.T, k *linkClock) {
	r := linkUp(t, linkSetup{delay: k.of(linkRTT) / 2})
	const banner = "SSH-2.0-OpenSSH_9.2\r\n"
	ssh := testnet.Serve(t, func(c *net.TCPConn) {
		io.WriteString(c, banner)
		io.Copy(io.Discard, c)
	})
	for i := range 3 {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := linkDial(ctx, r.client.Addr, ssh.Addr)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(banner))
		_, err = io.ReadFull(c, b)
		took := time.Since(begin)
		c.Close()
		if err != nil || string(b) != banner {
			t.Errorf("banner %d: %q, %v", i+1, b, err)
		}
		k.one(fmt.Sprintf("banner %d", i+1), took, k.of(linkRTT))
	}
}
