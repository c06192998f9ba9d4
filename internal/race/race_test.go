package race

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	a6, b6 = "2001:db8::1", "2001:db8::2"
	a4, b4 = "192.0.2.1", "192.0.2.2"
)

// never is how long a silent address takes to answer.
const never = time.Hour

// track is a fake network whose addresses answer as the test specifies.
type track struct {
	*Dialer[*conn]
	behave map[string]behaviour // set once; addresses not listed answer immediately

	mu    sync.Mutex
	began time.Time // guarded by mu
	tried []string  // guarded by mu; "address@milliseconds"
	open  int       // guarded by mu; number of open connections
}

// behaviour is how and when an address answers. A stubborn one ignores cancellation.
type behaviour struct {
	after    time.Duration
	err      error
	stubborn bool
}

// conn is a connection that is counted while open.
type conn struct {
	to netip.AddrPort
	t  *track
}

func (c *conn) Close() error {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.open--
	return nil
}

func newTrack(behave map[string]behaviour) *track {
	t := &track{behave: behave}
	t.Dialer = New(t.dial)
	return t
}

func (t *track) dial(ctx context.Context, to netip.AddrPort) (*conn, error) {
	t.mu.Lock()
	t.tried = append(t.tried, fmt.Sprintf("%s@%d", to.Addr(), time.Since(t.began).Milliseconds()))
	t.mu.Unlock()
	b := t.behave[to.Addr().String()]
	if b.stubborn {
		time.Sleep(b.after)
	} else {
		select {
		case <-time.After(b.after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
	return &conn{to, t}, nil
}

func allowAll(netip.AddrPort) error { return nil }

// run races addrs for at most 10 s and returns the winner.
func (t *track) run(ctx context.Context, addrs string, allow func(netip.AddrPort) error) (string, error) {
	t.mu.Lock()
	t.began, t.tried = time.Now(), nil
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := t.Connect(ctx, "Host.example", parseAddrs(addrs), 80, allow)
	if err != nil {
		return "", err
	}
	return c.to.Addr().String(), c.Close()
}

func parseAddrs(list string) []netip.Addr {
	var as []netip.Addr
	for _, s := range strings.Fields(list) {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

// want checks which addresses the last race tried, and that it left no connection open.
func (t *track) want(tb testing.TB, tried string, took time.Duration) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if got := strings.Join(t.tried, " "); got != tried {
		tb.Errorf("tried %s, want %s", got, tried)
	}
	if got := time.Since(t.began); got != took {
		tb.Errorf("took %v, want %v", got, took)
	}
	if t.open != 0 {
		tb.Errorf("%d connections are left open", t.open)
	}
}

func TestRace(t *testing.T) {
	const ms = time.Millisecond
	refused := behaviour{err: syscall.ECONNREFUSED}
	tests := []struct {
		name   string
		addrs  string
		behave map[string]behaviour
		won    string
		tried  string
		took   time.Duration
	}{
		{"IPv6 first", a4 + " " + a6, nil, a6, a6 + "@0", 0},
		{"one address", a4, nil, a4, a4 + "@0", 0},
		{"IPv6 is a black hole", a6 + " " + a4, map[string]behaviour{a6: {after: never}}, a4, a6 + "@0 " + a4 + "@250", 250 * ms},
		{"IPv6 is refused", a6 + " " + a4, map[string]behaviour{a6: refused}, a4, a6 + "@0 " + a4 + "@0", 0},
		{"IPv6 is slow and wins", a6 + " " + a4, map[string]behaviour{a6: {after: 300 * ms}, a4: {after: 100 * ms}}, a6, a6 + "@0 " + a4 + "@250", 300 * ms},
		{"families alternate", a6 + " " + b6 + " " + a4 + " " + b4,
			map[string]behaviour{a6: {after: never}, b6: {after: never}, a4: {after: never}}, b4,
			a6 + "@0 " + a4 + "@250 " + b6 + "@500 " + b4 + "@750", 750 * ms},
		{"a failure starts the next and restarts the clock", a6 + " " + a4 + " " + b6,
			map[string]behaviour{a6: {after: 100 * ms, err: syscall.ECONNREFUSED}, a4: {after: never}}, b6,
			a6 + "@0 " + a4 + "@100 " + b6 + "@350", 350 * ms},
		{"given twice, tried once", a4 + " " + a4 + " ::ffff:" + a4, map[string]behaviour{a4: {after: 600 * ms}}, a4, a4 + "@0", 600 * ms},
		{"a loser that ignores cancellation", a6 + " " + a4, map[string]behaviour{a6: {after: 400 * ms, stubborn: true}}, a4, a6 + "@0 " + a4 + "@250", 400 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrack(tt.behave)
				won, err := tr.run(t.Context(), tt.addrs, allowAll)
				if err != nil || won != tt.won {
					t.Errorf("won by %s, %v, want %s", won, err, tt.won)
				}
				tr.want(t, tt.tried, tt.took)
			})
		})
	}
}

// TestWinnerGoesFirst checks that if one of a family's addresses is silent, the winner
// is tried first for a while and the rest keep their order.
func TestWinnerGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{a4: {after: never}})
		race := func(addrs, won, tried string, took time.Duration) {
			t.Helper()
			if got, err := tr.run(t.Context(), addrs, allowAll); err != nil || got != won {
				t.Errorf("won by %s, %v, want %s", got, err, won)
			}
			tr.want(t, tried, took)
		}
		slow := a4 + "@0 " + b4 + "@250"
		race(a4+" "+b4, b4, slow, 250*time.Millisecond)
		race(a4+" "+b4, b4, b4+"@0", 0)
		race(a4+" 192.0.2.3", "192.0.2.3", a4+"@0 192.0.2.3@250", 250*time.Millisecond) // the host's addresses have changed
		race(a4+" "+b4+" 192.0.2.3", "192.0.2.3", "192.0.2.3@0", 0)
		tr.behave["192.0.2.3"] = behaviour{after: never}
		race(a4+" "+b4+" 192.0.2.3", b4, "192.0.2.3@0 "+a4+"@250 "+b4+"@500", 500*time.Millisecond)
		time.Sleep(winnerFor)
		race(a4+" "+b4, b4, slow, 250*time.Millisecond)
	})
}

// TestMemory checks that the family that won is tried first for a while.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{a6: {after: never}})
		race := func(won, tried string, took time.Duration) {
			t.Helper()
			if got, err := tr.run(t.Context(), a6+" "+a4, allowAll); err != nil || got != won {
				t.Errorf("won by %s, %v, want %s", got, err, won)
			}
			tr.want(t, tried, took)
		}
		slow := a6 + "@0 " + a4 + "@250"
		race(a4, slow, 250*time.Millisecond)
		race(a4, a4+"@0", 0)
		time.Sleep(winnerFor / 2)
		race(a4, a4+"@0", 0) // an uncontested win does not extend the time
		time.Sleep(winnerFor / 2)
		race(a4, slow, 250*time.Millisecond)
		race(a4, a4+"@0", 0)
		tr.behave[a6], tr.behave[a4] = behaviour{}, behaviour{err: syscall.ECONNREFUSED}
		race(a6, a4+"@0 "+a6+"@0", 0)
		race(a6, a6+"@0", 0)
		if _, err := tr.Connect(t.Context(), "other.example", parseAddrs(b4), 80, allowAll); err != nil {
			t.Error(err)
		}
		if n := tr.winners.Len(); n != 0 {
			t.Errorf("%d hosts are remembered, want none: IPv4 won uncontested", n)
		}
	})
}

// TestAllow checks that a forbidden address is skipped without any delay.
func TestAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{a4: {err: syscall.ECONNREFUSED}})
		var asked []string
		only := func(allowed ...string) func(netip.AddrPort) error {
			asked = nil
			return func(a netip.AddrPort) error {
				asked = append(asked, a.Addr().String())
				if slices.Contains(allowed, a.Addr().String()) {
					return nil
				}
				return &code.Error{Code: code.NotAllowed, Text: a.String() + " is private"}
			}
		}
		if won, err := tr.run(t.Context(), a6+" "+a4+" "+b4, only(b4)); err != nil || won != b4 {
			t.Errorf("won by %s, %v, want %s", won, err, b4)
		}
		tr.want(t, b4+"@0", 0)
		if want := []string{a6, a4, b4}; !slices.Equal(asked, want) {
			t.Errorf("allow was called for %s, want %s", asked, want)
		}
		tr.Dialer = New(tr.dial) // forget remembered winners
		_, err := tr.run(t.Context(), a6+" "+a4, only())
		if e, ok := errors.AsType[*code.Error](err); !ok || e.Code != code.NotAllowed || e.Text != "["+a6+"]:80 is private" {
			t.Errorf("all refused: %v, want the first refusal", err)
		}
		tr.want(t, "", 0)
		_, err = tr.run(t.Context(), a6+" "+a4, only(a4))
		if c, _ := code.Of(err); c != code.Refused || err.Error() != "["+a6+"]:80 is private; "+a4+":80: connection refused" {
			t.Errorf("one refused by us, one by its target: %v", err)
		}
	})
}
