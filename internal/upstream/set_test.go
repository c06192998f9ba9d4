package upstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/splice"
	"tunnels/remux"
)

// fakeLink is a Link to a server whose state the test sets.
type fakeLink struct {
	turned func()

	mu     sync.Mutex
	state  remux.State   // guarded by mu
	took   time.Duration // guarded by mu
	stuck  bool          // guarded by mu; Open blocks until canceled
	hope   bool          // guarded by mu; result of Probe
	probes int           // guarded by mu
	opens  int           // guarded by mu
}

var errFake = errors.New("it is a fake")

func (f *fakeLink) Open(ctx context.Context) (splice.Stream, error) {
	f.mu.Lock()
	f.opens++
	state, stuck := f.state, f.stuck
	f.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if state != remux.Up {
		return nil, errFake
	}
	return nil, nil
}

func (f *fakeLink) Reachable() bool { return true }

func (f *fakeLink) Health() (remux.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == remux.Up {
		return f.state, nil
	}
	return f.state, errFake
}

func (f *fakeLink) RTT() (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.took, f.took > 0
}

func (f *fakeLink) Probe() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes++
	return f.hope
}

func (f *fakeLink) Shutdown(context.Context) error { return nil }
func (f *fakeLink) Close() error                   { return nil }

// is sets the state and, like a real link, reports the change unless the new state is
// Silent.
func (f *fakeLink) is(state remux.State, took time.Duration) {
	f.mu.Lock()
	f.state, f.took = state, took
	f.mu.Unlock()
	if state != remux.Silent {
		f.turned()
	}
}

func (f *fakeLink) count() (probes, opens int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.probes, f.opens
}

// hookLog records the hook calls, one line each.
type hookLog struct {
	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

func (l *hookLog) add(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.all, format+"\n", a...)
}

func (l *hookLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *hookLog) hooks() Hooks {
	return Hooks{
		Silent:  func(address string, why error) { l.add("server %s is not responding: %v", address, why) },
		Answers: func(address string) { l.add("server %s is responding again", address) },
		Using: func(now, old Distance) {
			text := fmt.Sprintf("using server %s (%s)", now.Address, now.Text)
			if old.Address != "" {
				text += fmt.Sprintf(" instead of %s (%s)", old.Address, old.Text)
			}
			l.add("%s", text)
		},
	}
}

// fleet is a Set of servers a, b and c that runs in fake time.
type fleet struct {
	*Set
	t     *testing.T
	log   hookLog
	links map[string]*fakeLink
}

// withFleet runs f with a fleet of servers whose state is unknown.
func withFleet(t *testing.T, choice string, f func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		all := &fleet{t: t, links: map[string]*fakeLink{}}
		choice, err := ParseChoice(choice)
		if err != nil {
			t.Fatal(err)
		}
		all.Set = New([]string{"a", "b", "c"}, choice, all.log.hooks(), func(address string, turned func()) Link {
			l := &fakeLink{turned: turned, hope: true}
			all.links[address] = l
			return l
		})
		all.Start()
		defer all.Close()
		f(t, all)
		if t.Failed() {
			t.Log(all.log.String())
		}
	})
}

// up makes all three reachable with the given round trips and waits for the first
// choice.
func (f *fleet) up(a, b, c time.Duration) {
	f.links["a"].is(remux.Up, a)
	f.links["b"].is(remux.Up, b)
	f.links["c"].is(remux.Up, c)
	f.mu.Lock()
	settled := f.settled
	f.mu.Unlock()
	if !settled {
		time.Sleep(settleMin + watchEvery)
	}
}

// open1 opens one session and returns its server.
func (f *fleet) open1() string {
	f.t.Helper()
	before := map[string]int{}
	for name, l := range f.links {
		_, before[name] = l.count()
	}
	tried := map[*Server]bool{}
	if _, err := f.Open(f.t.Context(), tried); err != nil {
		return err.Error()
	}
	var got []string
	for _, v := range f.all {
		if _, n := f.links[v.Address].count(); n > before[v.Address] {
			got = append(got, v.Address)
		}
	}
	return strings.Join(got, " ")
}

func (f *fleet) wantOpen(when, want string) {
	f.t.Helper()
	if got := f.open1(); got != want {
		f.t.Errorf("%s: tried %s, want %s", when, got, want)
	}
}

// during opens one session per second. It returns the first and last server used, and
// the number of seconds until that changed.
func (f *fleet) during(d time.Duration) (first, last string, after int) {
	f.t.Helper()
	first = f.open1()
	for i := range int(d / time.Second) {
		time.Sleep(time.Second)
		if last = f.open1(); last != first && after == 0 {
			after = i + 1
		}
	}
	return first, last, after
}

const ms = time.Millisecond

func TestBest(t *testing.T) {
	withFleet(t, "", func(t *testing.T, f *fleet) {
		f.links["c"].is(remux.Up, 200*ms)
		f.wantOpen("when only c is reachable", "c")
		f.up(12*ms, 10*ms, 200*ms)
		f.wantOpen("once all have been measured", "b")
		if !strings.Contains(f.log.String(), "using server b (10 ms)\n") {
			t.Error("no log line names the server in use")
		}

		f.links["a"].is(remux.Up, 6*ms)
		if first, last, _ := f.during(time.Minute); first != "b" || last != "b" {
			t.Errorf("when a is 4 ms closer: %s, then %s, want b throughout", first, last)
		}
		f.up(90*ms, 100*ms, 200*ms)
		if first, last, _ := f.during(time.Minute); first != "b" || last != "b" {
			t.Errorf("when a is a tenth closer: %s, then %s, want b throughout", first, last)
		}
		f.up(40*ms, 100*ms, 200*ms)
		if _, last, after := f.during(time.Minute); last != "a" || after < 5 || after > 8 {
			t.Errorf("when a is much closer: %s after %d s, want a after 6 s", last, after)
		}
		if !strings.Contains(f.log.String(), "using server a (40 ms) instead of b (100 ms)\n") {
			t.Error("no log line reports the change of server")
		}
		for range 10 { // a brief outlier is no reason to switch
			f.links["b"].is(remux.Up, 10*ms)
			time.Sleep(3 * time.Second)
			f.links["b"].is(remux.Up, 100*ms)
			time.Sleep(3 * time.Second)
			f.wantOpen("after b was briefly closer", "a")
		}
	})
}

// TestLeave checks that a failing server is abandoned immediately, even by sessions
// waiting for it, and is used again once it has recovered.
func TestLeave(t *testing.T) {
	for policy, back := range map[string]int{"best": 20, "order": 2} {
		withFleet(t, policy, func(t *testing.T, f *fleet) {
			f.up(10*ms, 20*ms, 200*ms)
			f.wantOpen("all up", "a")
			f.links["a"].is(remux.Down, 10*ms)
			f.wantOpen("a down", "b")
			if !strings.Contains(f.log.String(), "using server b (20 ms) instead of a (unreachable)\n") {
				t.Error("no log line reports it")
			}
			f.links["b"].mu.Lock()
			f.links["b"].stuck = true
			f.links["b"].mu.Unlock()
			asked := make(chan string)
			go func() { asked <- f.open1() }()
			synctest.Wait()
			f.links["b"].is(remux.Silent, 20*ms)
			start := time.Now()
			if got := <-asked; got != "b c" || time.Since(start) > watchEvery {
				t.Errorf("the session waiting for b went to %s after %v, want c immediately", got, time.Since(start))
			}
			f.up(10*ms, 20*ms, 200*ms)
			if _, last, after := f.during(30 * time.Second); policy == "best" && last != "a" || after > back {
				t.Errorf("%s: after all have recovered: %s after %d s, want a within %d s", policy, last, after, back)
			}
		})
	}
}

// TestFailover checks that a server that seems up but whose Open fails costs one
// attempt, and that each server is tried once.
func TestFailover(t *testing.T) {
	withFleet(t, "order", func(t *testing.T, f *fleet) {
		f.up(ms, ms, ms)
		synctest.Wait() // no probes until time passes
		for _, name := range []string{"a", "b"} {
			f.links[name].mu.Lock()
			f.links[name].state = remux.Down // not detected yet
			f.links[name].mu.Unlock()
		}
		f.wantOpen("a and b fail", "a b c")
	})
}

// TestNoneUp checks that while no server is up, a session waits as long as its context
// allows if one may come up, and does not wait if all have just failed.
func TestNoneUp(t *testing.T) {
	withFleet(t, "best", func(t *testing.T, f *fleet) {
		if !f.Reachable() {
			t.Error("not reachable while the state is unknown")
		}
		asked := make(chan string)
		go func() { asked <- f.open1() }()
		synctest.Wait()
		f.links["a"].is(remux.Down, 0)
		synctest.Wait()
		f.links["b"].is(remux.Up, 10*ms)
		if got := <-asked; got != "b" {
			t.Errorf("the session waiting for the first server went to %s, want b", got)
		}

		for _, l := range f.links {
			l.is(remux.Down, 0)
		}
		if f.Reachable() {
			t.Error("reachable although all servers are down")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := f.Open(ctx, map[*Server]bool{}); err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v while one may come up, want an error after 10s", err, time.Since(start))
		}
		for _, l := range f.links {
			l.mu.Lock()
			l.hope = false
			l.mu.Unlock()
		}
		start = time.Now()
		_, err := f.Open(t.Context(), map[*Server]bool{})
		if err == nil || !strings.Contains(err.Error(), "a: it is a fake; b: it is a fake; c:") || time.Since(start) != 0 {
			t.Errorf("%v after %v when all have just failed, want all reasons immediately", err, time.Since(start))
		}
	})
}

func TestSpread(t *testing.T) {
	withFleet(t, "spread", func(t *testing.T, f *fleet) {
		f.up(10*ms, 20*ms, 200*ms)
		got := map[string]int{}
		for range 30 {
			got[f.open1()]++
		}
		if got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
			t.Errorf("30 sessions on three servers: %v", got)
		}
		f.links["b"].is(remux.Down, 0)
		clear(got)
		for range 30 {
			got[f.open1()]++
		}
		if got["a"] != 15 || got["c"] != 15 {
			t.Errorf("30 sessions with b down: %v", got)
		}
	})
}

// TestProbes checks how often idle servers are probed.
func TestProbes(t *testing.T) {
	withFleet(t, "best", func(t *testing.T, f *fleet) {
		f.up(10*ms, 20*ms, 200*ms)
		probes := func(d time.Duration, use bool) (b, c int) {
			b0, _ := f.links["b"].count()
			c0, _ := f.links["c"].count()
			for range int(d / time.Second) {
				time.Sleep(time.Second)
				if use {
					f.open1()
				}
			}
			b, _ = f.links["b"].count()
			c, _ = f.links["c"].count()
			return b - b0, c - c0
		}
		if b, _ := probes(10*time.Minute, true); b < 15 || b > 28 {
			t.Errorf("%d probes of an idle server in 10 minutes of use, want about 20", b)
		}
		f.links["c"].is(remux.Down, 0)
		if _, c := probes(30*time.Second, true); c < 4 || c > 8 {
			t.Errorf("%d probes of a server in the 30 s after it failed, want about 5", c)
		}
		if b, c := probes(time.Hour, false); b > 30 || c > 30 || b < 10 {
			t.Errorf("%d and %d probes in an hour without use, want about 20", b, c)
		}
		start, before := time.Now(), f.links["b"]
		n, _ := before.count()
		f.open1()
		synctest.Wait()
		if now, _ := before.count(); now != n+1 || time.Since(start) != 0 {
			t.Errorf("%d probes on first use after an hour, want 1 immediately", now-n)
		}
	})
}

// TestParseChoice checks that unknown choices are rejected.
func TestParseChoice(t *testing.T) {
	for name, want := range map[string]Choice{"": Best, "best": Best, "order": Order, "spread": Spread} {
		if c, err := ParseChoice(name); c != want || err != nil {
			t.Errorf("ParseChoice(%q) = %q, %v", name, c, err)
		}
	}
	if _, err := ParseChoice("random"); err == nil || !strings.Contains(err.Error(), `"random"`) {
		t.Errorf("ParseChoice = %v, want an error with the value", err)
	}
}
