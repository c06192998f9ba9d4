package users

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tunnels/internal/code"
)

// cheap returns a hash with the lowest cost bcrypt supports.
func cheap(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// usersFile writes a users file from pairs: name, password, name, password...
func usersFile(t testing.TB, pairs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	writeUsers(t, path, pairs...)
	return path
}

func writeUsers(t testing.TB, path string, pairs ...string) {
	t.Helper()
	text := "# who may use it\n\n"
	for i := 0; i < len(pairs); i += 2 {
		text += pairs[i] + ":" + cheap(t, pairs[i+1]) + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, path string, reread func(error)) *Users {
	t.Helper()
	u, err := Open(path, reread)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// from returns an address of the form 192.0.2.n.
func from(n byte) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, n), Port: 1} }

// timed calls Check and returns how long it took.
func timed(u *Users, n byte, name, password string) (time.Duration, error) {
	start := time.Now()
	err := u.Check(from(n), name, password)
	return time.Since(start), err
}

// expect checks the result and duration of one Check.
func expect(t *testing.T, u *Users, n byte, name, password string, want code.Code, after time.Duration) {
	t.Helper()
	d, err := timed(u, n, name, password)
	got, _ := code.Of(err)
	if (err == nil) != (want == code.OK) || got != want || d != after {
		t.Errorf("Check(%d, %s, %s) = %v after %v, want %v after %v", n, name, password, err, d, want, after)
	}
}

func TestUsersCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustOpen(t, usersFile(t, "alice", "secret", "bob", "hush", "zoë", "p:w"), nil)
		n := byte(0)
		for _, tt := range []struct {
			name, password string
			ok             bool
		}{
			{"alice", "secret", true}, {"alice", "secret", true}, {"zoë", "p:w", true},
			{"alice", "hush", false}, {"alice", "", false}, {"Alice", "secret", false}, {"", "", false},
			{"carol", "secret", false}, {"alice", "secret\x00secret", false}, {"# who may use it", "", false},
			{"alice", string(make([]byte, 255)), false},
		} {
			n++
			want := code.OK
			if !tt.ok {
				want = code.NotAuthorised
			}
			expect(t, u, n, tt.name, tt.password, want, 0)
		}
	})
}

// TestWrongPasswordsSlowDown checks that wrong passwords delay the answers to their own
// address only, and that the delay is later cleared.
func TestWrongPasswordsSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustOpen(t, usersFile(t, "alice", "secret"), nil)
		const wrong, ms = code.NotAuthorised, time.Millisecond
		for i, after := range []time.Duration{0, 250, 500, 1000, 2000, 4000, 8000, 8000} {
			name := []string{"alice", "nobody"}[i%2]
			expect(t, u, 1, name, fmt.Sprint("guess ", i), wrong, after*ms)
		}
		expect(t, u, 2, "alice", "guess", wrong, 0)
		expect(t, u, 1, "alice", "secret", code.OK, 8000*ms) // clears the failures
		expect(t, u, 1, "alice", "guess", wrong, 0)
		expect(t, u, 1, "alice", "secret", code.OK, 0) // already verified, so it does not clear the failures
		expect(t, u, 1, "alice", "guess", wrong, 250*ms)
		expect(t, u, 1, "alice", "guess", wrong, 500*ms)
		time.Sleep(slowFor)
		expect(t, u, 1, "alice", "guess", wrong, 0)
		expect(t, u, 1, "alice", "guess", wrong, 250*ms)
	})
}

// TestManyGuessesAtOnce checks that passwords are checked one at a time, that guesses
// that would wait too long are rejected, and that correct credentials are not delayed.
func TestManyGuessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustOpen(t, usersFile(t, "alice", "secret"), nil)
		expect(t, u, 1, "alice", "secret", code.OK, 0)
		start := time.Now()
		var wg sync.WaitGroup
		var looked, turnedAway atomic.Int32
		for i := range 1000 {
			wg.Go(func() {
				switch err := u.Check(from(1), "alice", fmt.Sprint(i)); {
				case errors.Is(err, errWrong):
					looked.Add(1)
				case errors.Is(err, errGuessing), errors.Is(err, errCrowdedCheck):
					turnedAway.Add(1)
				default:
					t.Errorf("Check = %v", err)
				}
			})
		}
		synctest.Wait()
		expect(t, u, 1, "alice", "secret", code.OK, 0)
		expect(t, u, 1, "alice", "another guess", code.Overload, 0)
		expect(t, u, 2, "alice", "guess", code.NotAuthorised, 0)
		wg.Wait()
		// The checks run at 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s.
		if n := looked.Load(); n != 6 || n+turnedAway.Load() != 1000 {
			t.Errorf("%d guesses were checked and %d rejected, want 6 and 994", n, turnedAway.Load())
		}
		if d := time.Since(start); d > slowWait {
			t.Errorf("they took %v, want at most %v", d, slowWait)
		}
	})
}

// TestManyLoginsAtOnce simulates a browser that logs in on many connections right after
// the user has typed the password.
func TestManyLoginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustOpen(t, usersFile(t, "alice", "secret"), nil)
		start := time.Now()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if err := u.Check(from(1), "alice", "secret"); err != nil {
					t.Errorf("Check = %v", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("they took %v, want no delay", d)
		}
		if n := len(u.throttle.all); n != 0 {
			t.Errorf("%d addresses are remembered, want none", n)
		}
	})
}

func TestGuessersAreBounded(t *testing.T) {
	var b loginThrottle
	enter := func(i int) *guesser {
		a := net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))
		g, err := b.enter(whoIs(&net.TCPAddr{IP: a}))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for i := range 3 * guessers {
		g := enter(i)
		b.failed(g)
		b.leave(g)
	}
	if len(b.all) != guessers || b.idle.Len() != guessers {
		t.Errorf("%d and %d addresses are remembered, want %d", len(b.all), b.idle.Len(), guessers)
	}
	g := enter(3*guessers - 1) // the latest one is not evicted
	if d := b.pause(g); d != slowMin {
		t.Errorf("pause = %v, want %v", d, slowMin)
	}
	b.right(g)
	b.leave(g)
	if len(b.all) != guessers-1 || b.idle.Len() != guessers-1 || b.waiting != 0 {
		t.Errorf("%d and %d addresses are remembered and %d are waiting, want %d and none", len(b.all), b.idle.Len(), b.waiting, guessers-1)
	}
}

func TestUsersClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustOpen(t, usersFile(t, "alice", "secret", "bob", "hush"), nil)
		expect(t, u, 3, "bob", "hush", code.OK, 0) // verified credentials need no second check
		for i := range 6 {
			u.Check(from(1), "alice", fmt.Sprint(i))
		}
		start := time.Now()
		errs := make(chan error, 2)
		for i := range 2 { // one delayed, one waiting for it
			go func() { errs <- u.Check(from(1), "alice", fmt.Sprint(i)) }()
		}
		synctest.Wait()
		u.Close()
		u.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, errUsersClosed) {
				t.Errorf("waiting Check = %v, want %v", err, errUsersClosed)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("they took %v, want no delay", d)
		}
		expect(t, u, 2, "alice", "secret", code.GoingAway, 0)
		expect(t, u, 2, "bob", "hush", code.GoingAway, 0)
	})
}

// TestRemovedUserDuringCheck checks that if a user is removed while the password is
// being checked, the check fails.
func TestRemovedUserDuringCheck(t *testing.T) {
	path := usersFile(t, "alice", "old")
	u := mustOpen(t, path, nil)
	defer u.Close()
	u.busy = make(chan struct{}) // unbuffered, so a check blocks until the test releases it
	checked := make(chan error, 1)
	go func() { checked <- u.Check(from(1), "alice", "old") }()
	<-u.busy // the check has a slot and starts computing
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
	u.busy <- struct{}{} // returns once the check has finished computing
	if err := <-checked; err == nil {
		t.Error("Check = nil for a user removed in the meantime")
	}
}

func TestWhoIs(t *testing.T) {
	same := func(a, b net.Addr, want bool) {
		t.Helper()
		if got := whoIs(a) == whoIs(b); got != want {
			t.Errorf("%v and %v are the same: %v, want %v", a, b, got, want)
		}
	}
	tcp := func(s string, port int) net.Addr {
		host, zone, _ := strings.Cut(s, "%")
		return &net.TCPAddr{IP: net.ParseIP(host), Port: port, Zone: zone}
	}
	same(tcp("192.0.2.1", 1), tcp("192.0.2.1", 2), true)
	same(tcp("192.0.2.1", 1), tcp("192.0.2.2", 1), false)
	same(tcp("192.0.2.1", 1), tcp("::ffff:192.0.2.1", 2), true)
	same(tcp("2001:db8::1", 1), tcp("2001:db8::ffff:1", 1), true)
	same(tcp("2001:db8::1", 1), tcp("2001:db8:0:1::1", 1), false)
	same(tcp("fe80::1%eth0", 1), tcp("fe80::1%eth1", 1), true)
	same(nil, &net.UnixAddr{Name: "@", Net: "unix"}, true)
	same(nil, tcp("192.0.2.1", 1), false)
	same(nil, (*net.TCPAddr)(nil), true)
	same(other("192.0.2.1:9"), tcp("192.0.2.1", 1), true)
}

// other is an address of a different type.
type other string

func (o other) Network() string { return "other" }
func (o other) String() string  { return string(o) }
