package exit

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/code"
	"tunnels/internal/testnet"
)

// halfDead returns a port that answers on 127.0.0.1 but is a black hole on ::1.
func halfDead(t *testing.T) uint16 {
	t.Helper()
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("this system has no IPv6 loopback: %v", err)
	} else {
		ln.Close()
	}
	for range 20 { // the port must be free on both addresses
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		address := net.JoinHostPort("::1", strconv.Itoa(port))
		probe, err := net.Listen("tcp6", address)
		if err != nil {
			ln.Close()
			continue
		}
		probe.Close()
		t.Cleanup(func() { ln.Close() })
		testnet.BlackHoleAt(t, address)
		return uint16(port)
	}
	t.Fatal("no port is free on both loopback addresses")
	return 0
}

// TestBlackHoledIPv6 checks that a name whose IPv6 address is silent is reached over
// IPv4 in under 400 ms, and immediately the next time. It tries three times, in case the
// machine is busy.
func TestBlackHoledIPv6(t *testing.T) {
	port := halfDead(t)
	dns := zone(t, map[string]string{"dual.test": "127.0.0.1 ::1"})
	var first, second time.Duration
	for range 3 {
		e := newTestExit(t, dns, func(c *testConfig) { c.Allow = []string{"loopback"} })
		dial := func() time.Duration {
			began := time.Now()
			c, _, err := e.Dial(t.Context(), "client", &e.policy, "dual.test", port)
			took := time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := c.RemoteAddr().String(), net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))); got != want {
				t.Errorf("connected to %s, want %s", got, want)
			}
			c.Close()
			return took
		}
		if first, second = dial(), dial(); first < 400*time.Millisecond && second < 200*time.Millisecond {
			break
		}
	}
	if first < 200*time.Millisecond {
		t.Errorf("connected after %v: was IPv6 not tried first?", first)
	}
	if first >= 400*time.Millisecond || second >= 200*time.Millisecond {
		t.Errorf("connected after %v, then after %v, want under 400 ms, then immediately", first, second)
	}
}

// TestOneQuery checks that a thousand requests for one name cause one query per address
// family.
func TestOneQuery(t *testing.T) {
	dns := zone(t, map[string]string{"a.test": "192.0.2.1 2001:db8::1"})
	e := newTestExit(t, dns, nil)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if got, err := e.resolver.Lookup(t.Context(), "client", "a.test"); err != nil || len(got) == 0 {
				t.Errorf("resolve = %v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if a, aaaa := dns.Asked(dnsmessage.TypeA), dns.Asked(dnsmessage.TypeAAAA); a != 1 || aaaa != 1 {
		t.Errorf("%d queries for A and %d for AAAA, want 1 each", a, aaaa)
	}
}

// no is a judge that refuses every address.
type no struct{}

func (no) AllowName(string, uint16) error { return nil }

func (no) AllowAddr(a netip.AddrPort, _ string) error {
	return &code.Error{Code: code.NotAllowed, Text: a.String() + " is not for you"}
}

// TestDeadTarget checks that a target that did not answer is not dialed again right away
// under any name, and that only clients allowed to use the address can find out.
func TestDeadTarget(t *testing.T) {
	host, port, err := net.SplitHostPort(testnet.BlackHole(t))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	e := newTestExit(t, zone(t, map[string]string{"a.test": host, "b.test": host}), func(c *testConfig) {
		c.Allow, c.DialTimeout = []string{"loopback"}, 300*time.Millisecond
	})
	dial := func(ctx context.Context, j Judge, host string) error {
		c, _, err := e.Dial(ctx, "client", j, host, uint16(n))
		if err == nil {
			c.Close()
		}
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := dial(ctx, &e.policy, "a.test"); err == nil || e.dead.Len() != 0 {
		t.Errorf("dial = %v, %d targets are remembered; want none, because the dial had too little time", err, e.dead.Len())
	}
	if c, _ := code.Of(dial(t.Context(), &e.policy, "a.test")); c != code.Timeout || e.dead.Len() != 1 {
		t.Errorf("dial failed with code %v, %d targets are remembered, want %v and 1", c, e.dead.Len(), code.Timeout)
	}
	e.race.Dial = func(_ context.Context, to netip.AddrPort) (*net.TCPConn, error) {
		t.Errorf("%s was dialed although it was known to be dead", to)
		return nil, context.DeadlineExceeded
	}
	for _, name := range []string{"a.test", "b.test", host} {
		err := dial(t.Context(), &e.policy, name)
		if c, _ := code.Of(err); c != code.Timeout || !strings.Contains(err.Error(), "timed out a moment ago") {
			t.Errorf("%s: dial = %v, want code %v", name, err, code.Timeout)
		}
		if c, _ := code.Of(dial(t.Context(), no{}, name)); c != code.NotAllowed {
			t.Errorf("%s: a client that may not use it got code %v, want %v", name, c, code.NotAllowed)
		}
	}
}

// TestRefusedIsNotDead checks that refused and canceled dials are not remembered: a
// closed port may open at any moment, and a canceled dial says nothing about the target.
func TestRefusedIsNotDead(t *testing.T) {
	e := newTestExit(t, zone(t, nil), func(c *testConfig) { c.Allow = []string{"all"} })
	a, err := netip.ParseAddrPort(testnet.ClosedPort(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := e.Dial(t.Context(), "client", &e.policy, a.Addr().String(), a.Port()); err == nil || err.Error() != a.String()+": connection refused" {
			t.Errorf("dial = %v, want %s: connection refused", err, a)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = e.Dial(ctx, "client", &e.policy, a.Addr().String(), a.Port())
	if c, _ := code.Of(err); c != code.Cancelled || e.dead.Len() != 0 {
		t.Errorf("dial = %v, %d targets are remembered, want code %v and none", err, e.dead.Len(), code.Cancelled)
	}
	for why, want := range map[code.Code]bool{code.HostUnreachable: true, code.NetUnreachable: false, code.Refused: false, code.General: false, code.Cancelled: false} {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(why)}), 80)
		e.note(to, why, 0)
		if got := e.justFailed(to) != nil; got != want {
			t.Errorf("code %v: remembered %v, want %v", why, got, want)
		}
	}
}
