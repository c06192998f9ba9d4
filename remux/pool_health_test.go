package remux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/netx"
	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/timing"
)

// stopped is a server that can be stopped as if by SIGSTOP: it still accepts data and
// connections, but sends nothing.
type stopped struct {
	acked atomic.Uint64 // bytes that the peer's kernel has acknowledged
	pings atomic.Int64  // number of PINGs sent

	pool    *Pool
	changes int // guarded by mu

	mu    sync.Mutex
	gate  chan struct{} // guarded by mu; closed while the server runs
	delay time.Duration // guarded by mu; delay before each response
	fail  error         // guarded by mu; error that dials return
	hang  bool          // guarded by mu; dials hang
	ended []error       // guarded by mu; errors of closed conns
	last  net.Conn      // guarded by mu; the last one dialed
}

// Progress returns the progress set by the test, for netx.Progress.
func (g *gated) Progress() (netx.Sent, bool) {
	n := g.s.acked.Load()
	return netx.Sent{Acked: n, Queued: 1 << 40, Moved: n}, n > 0
}

// gated is a connection to a stopped server.
type gated struct {
	net.Conn
	s      *stopped
	closed chan struct{}
	once   sync.Once
}

// Read reads what the server sent, once it is running.
func (g *gated) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.s.mu.Lock()
	gate, delay := g.s.gate, g.s.delay
	g.s.mu.Unlock()
	time.Sleep(delay)
	select {
	case <-gate:
		return n, err
	case <-g.closed:
		return 0, net.ErrClosed
	}
}

// Write counts the PINGs in p. Sessions write nothing that looks like one.
func (g *gated) Write(p []byte) (int, error) {
	ping := frame.AppendPing(nil, frame.TypePing, [8]byte{})
	g.s.pings.Add(int64(bytes.Count(p, ping[:frame.HeaderLen+1])))
	return g.Conn.Write(p)
}

// Close ends a blocked Read.
func (g *gated) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Conn.Close()
}

func (s *stopped) stop() {
	s.mu.Lock()
	s.gate = make(chan struct{})
	s.mu.Unlock()
}

func (s *stopped) goOn() {
	s.mu.Lock()
	close(s.gate)
	s.mu.Unlock()
}

func (s *stopped) set(delay time.Duration, fail error) {
	s.mu.Lock()
	s.delay, s.fail = delay, fail
	s.mu.Unlock()
}

// lost returns how many conns were lost.
func (s *stopped) lost() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.ended {
		if err != nil {
			n++
		}
	}
	return n
}

// withStopped runs f with fake time, a pool and a server whose sessions are
// served by serve.
func withStopped(t *testing.T, serve func(net.Conn), f func(t *testing.T, s *stopped)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stopped{gate: make(chan struct{})}
		close(s.gate)
		b := &bubble{pipes: make(chan net.Conn, 100)}
		s.pool = Config{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				s.mu.Lock()
				hang := s.hang
				s.mu.Unlock()
				if hang {
					<-ctx.Done()
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if hang {
					return nil, ctx.Err()
				}
				if s.fail != nil {
					return nil, s.fail
				}
				near, far := net.Pipe()
				b.pipes <- far
				s.last = &gated{Conn: near, s: s, closed: make(chan struct{})}
				return s.last, nil
			},
			Hooks: &Hooks{
				StateChanged: func() { s.mu.Lock(); s.changes++; s.mu.Unlock() },
				ConnClosed: func(_ ID, _ net.Conn, _ time.Duration, err error) {
					s.mu.Lock()
					s.ended = append(s.ended, err)
					s.mu.Unlock()
				},
			},
		}.NewPool("pipe", "server")
		l := Config{}.NewListener(b)
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { serve(c); c.Close() })
			}
		})
		f(t, s)
		s.pool.Close()
		l.Close()
		serving.Wait()
	})
}

func repeat(c net.Conn)  { io.Copy(onlyWriter{c}, c) }
func swallow(c net.Conn) { io.Copy(io.Discard, c) }

// lookFor polls Health, as the owner of several pools would, until it returns want.
func (s *stopped) lookFor(t *testing.T, want State, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		state, err := s.pool.Health()
		if (state == Up) != (err == nil) {
			t.Fatalf("Health = %v, %v", state, err)
		}
		if state == want {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("%v after %v, want %v", state, limit, want)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// say opens a session and writes one byte.
func (s *stopped) say(t *testing.T) *conn.Session {
	t.Helper()
	session, err := s.pool.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return session
}

// TestHealthSilent checks that a stopped server is detected within 4 s of a request on
// any of its conns, without the loss of a conn or session. When the server resumes, so do
// they.
func TestHealthSilent(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		old := s.say(t)
		for range 20 { // more than fit on one conn
			defer s.say(t).Close()
		}
		time.Sleep(time.Second)
		if state, _ := s.pool.Health(); state != Up || s.pool.count() < 2 {
			t.Fatalf("%v with %d conns, want up with several", state, s.pool.count())
		}
		s.stop()
		time.Sleep(time.Second)
		if state, _ := s.pool.Health(); state != Up {
			t.Errorf("%v before any request", state)
		}
		waiting := s.say(t)
		if took := s.lookFor(t, Silent, 4*time.Second); took < 2*time.Second {
			t.Errorf("silent after only %v, which could be a slow line", took)
		}
		if s.lost() != 0 {
			t.Errorf("%d conns lost because of Health", s.lost())
		}
		s.goOn()
		s.lookFor(t, Up, time.Second)
		for _, session := range []*conn.Session{old, waiting} {
			if _, err := io.ReadFull(session, make([]byte, 1)); err != nil {
				t.Errorf("a session that was open throughout: %v", err)
			}
			session.Close()
		}
	})
}

// TestHealthSlowTarget checks that a slow target neither makes the server appear silent
// nor causes repeated PINGs.
func TestHealthSlowTarget(t *testing.T) {
	withStopped(t, swallow, func(t *testing.T, s *stopped) {
		defer s.say(t).Close()
		for range 100 {
			time.Sleep(250 * time.Millisecond)
			if state, err := s.pool.Health(); state != Up {
				t.Fatalf("%v, %v: want up", state, err)
			}
		}
		if pings := s.pings.Load(); pings > 5 {
			t.Errorf("%d PINGs in 25 s for one request", pings)
		}
	})
}

// TestHealthStoppedForLong checks that a stopped server does not count as up just because
// its kernel accepts connections, even once the old conns are dead.
func TestHealthStoppedForLong(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		s.say(t).Close()
		time.Sleep(time.Second)
		s.stop()
		s.say(t)
		s.lookFor(t, Silent, 4*time.Second)
		for range 60 {
			time.Sleep(time.Second / 2)
			s.pool.Probe()
			if state, _ := s.pool.Health(); state == Up || state == Unknown {
				t.Fatalf("%v while the server is stopped", state)
			}
		}
		s.goOn()
		s.pool.Probe()
		s.lookFor(t, Up, 3*time.Second)
	})
}

// TestHealthDown checks the state reported for a server that is first unreachable, then
// reached, then lost.
func TestHealthDown(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		if state, _ := s.pool.Health(); state != Unknown {
			t.Errorf("%v before the first dial", state)
		}
		away := errors.New("away")
		s.set(0, away)
		if !s.pool.Probe() {
			t.Error("Probe of an unknown server started nothing")
		}
		synctest.Wait()
		if state, err := s.pool.Health(); state != Down || !errors.Is(err, away) {
			t.Errorf("%v, %v after a failed dial", state, err)
		}
		if s.pool.Probe() {
			t.Error("Probe dialed again immediately after a failed dial")
		}
		s.set(0, nil)
		time.Sleep(freshFailure)
		if !s.pool.Probe() {
			t.Error("Probe a second after a failed dial started nothing")
		}
		synctest.Wait()
		if state, err := s.pool.Health(); state != Up {
			t.Errorf("%v, %v after a successful dial", state, err)
		}
		s.set(0, away)
		s.mu.Lock()
		before, last := s.changes, s.last
		s.mu.Unlock()
		last.Close()
		synctest.Wait()
		if state, _ := s.pool.Health(); state != Down {
			t.Errorf("%v after the only conn was lost", state)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.changes == before {
			t.Error("StateChanged was not called for a lost conn")
		}
	})
}

// TestHealthIdle checks that a server still counts as up after its idle conns have been
// closed.
func TestHealthIdle(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		s.pool.Probe()
		time.Sleep(time.Minute)
		if state, _ := s.pool.Health(); state != Up || s.pool.count() != 0 {
			t.Errorf("%v with %d conns, want up with none", state, s.pool.count())
		}
	})
}

// TestRTT checks that RTT returns the round trip of the last few seconds, without
// queueing.
func TestRTT(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		if _, ok := s.pool.RTT(); ok {
			t.Error("RTT returned true before any measurement")
		}
		const near, far = 20 * time.Millisecond, 400 * time.Millisecond
		probe := func(delay time.Duration) {
			s.set(delay, nil)
			s.pool.Probe()
			time.Sleep(time.Second)
		}
		check := func(when string, want time.Duration) {
			t.Helper()
			// A PING sent at age 0 counts as sent 1 ns later.
			if got, ok := s.pool.RTT(); !ok || got < want-1 || got > 2*want {
				t.Errorf("%s: RTT = %v, %t, want %v", when, got, ok, want)
			}
		}
		probe(near)
		check("first", near)
		probe(far)
		check("after one slow response", near)
		time.Sleep(timing.RTTFresh)
		check("when only that one is recent", far)
		probe(near)
		check("near again", near)
	})
}
