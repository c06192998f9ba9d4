package remux

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux/internal/conn"
)

// handshake is how long dialing a conn takes in these tests.
const handshake = 300 * time.Millisecond

// bubble is a pool and a listener joined by pipes, for synctest.
type bubble struct {
	t     *testing.T
	pool  *Pool
	l     *SessionListener
	pipes chan net.Conn
	once  sync.Once // closes pipes

	mu     sync.Mutex
	fail   error         // guarded by mu; error that dials return
	dials  int           // guarded by mu
	delay  time.Duration // guarded by mu
	refuse time.Duration // guarded by mu; if not 0, the server closes conns after this time without sending anything
	opened []ID          // guarded by mu; conns opened by the pool
	far    []Session     // guarded by mu; the server's ends of all sessions
	closed int           // guarded by mu
	lost   int           // guarded by mu; how many of closed did not end cleanly
}

// Accept, Close and Addr implement net.Listener for its SessionListener.
func (b *bubble) Accept() (net.Conn, error) {
	c, ok := <-b.pipes
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (b *bubble) Close() error {
	b.once.Do(func() { close(b.pipes) })
	return nil
}

func (b *bubble) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (b *bubble) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	b.mu.Lock()
	b.dials++
	fail, delay, refuse := b.fail, b.delay, b.refuse
	b.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fail != nil {
		return nil, fail
	}
	near, far := net.Pipe()
	if refuse != 0 {
		go io.Copy(io.Discard, far)
		time.AfterFunc(refuse, func() { far.Close() })
		return near, nil
	}
	b.pipes <- far
	return near, nil
}

// inBubble runs f with fake time, a pool and an echo server.
func inBubble(t *testing.T, c Config, f func(t *testing.T, b *bubble)) {
	t.Helper()
	inBubbleWith(t, c, Config{}, f)
}

// inBubbleWith is like inBubble, with the given server configuration.
func inBubbleWith(t *testing.T, c, server Config, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, pipes: make(chan net.Conn, 100), delay: handshake}
		c.Dial = b.dial
		c.Hooks = &Hooks{
			ConnOpened: func(id ID, _ net.Conn) { b.mu.Lock(); b.opened = append(b.opened, id); b.mu.Unlock() },
			ConnClosed: func(_ ID, _ net.Conn, _ time.Duration, err error) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.closed++
				if err != nil {
					b.lost++
				}
			},
		}
		b.pool = c.NewPool("pipe", "server")
		b.l = server.NewListener(b)
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				s, err := b.l.Accept()
				if err != nil {
					return
				}
				b.mu.Lock()
				b.far = append(b.far, s.(Session))
				b.mu.Unlock()
				serving.Go(func() { io.Copy(onlyWriter{s}, s); s.Close() })
			}
		})
		defer func() { // also runs after t.Fatal
			b.pool.Close()
			b.l.Close()
			serving.Wait()
		}()
		f(t, b)
	})
}

// open opens a session and returns how long that took.
func (b *bubble) open() (*conn.Session, time.Duration) {
	b.t.Helper()
	start := time.Now()
	s, err := b.pool.open(b.t.Context())
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	return s, time.Since(start)
}

// accepted returns the server's end of a session.
func (b *bubble) accepted(id ID) Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.far {
		if s.ID() == id {
			return s
		}
	}
	b.t.Fatalf("session %s was not accepted", id)
	return nil
}

// use runs one short session and returns the conn it was on.
func (b *bubble) use() (on uint32, waited time.Duration) {
	b.t.Helper()
	s, waited := b.open()
	if _, err := s.Write([]byte("x")); err != nil {
		b.t.Fatal(err)
	}
	s.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "x" {
		b.t.Fatalf("echo = %q, %v", got, err)
	}
	s.Close()
	return s.ID().Conn, waited
}

func (b *bubble) counts() (opened, closed, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.opened), b.closed, b.lost
}

// TestRotation checks that the first 16 sessions use one conn and the 17th the next, and
// that only the very first waits for a handshake.
func TestRotation(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		var order []uint32
		for i := range 64 {
			on, waited := b.use()
			if len(order) == 0 || order[len(order)-1] != on {
				if i%16 != 0 {
					t.Errorf("session %d is the first on conn %08x, want a new conn after every 16 sessions", i+1, on)
				}
				order = append(order, on)
			}
			if want := map[bool]time.Duration{true: handshake}[i == 0]; waited != want {
				t.Errorf("session %d waited %s, want %s", i+1, waited, want)
			}
			time.Sleep(100 * time.Millisecond) // like a user clicking
		}
		if len(order) != 4 {
			t.Errorf("64 sessions used %d conns, want 4", len(order))
		}
	})
}

// TestBurst checks that a burst of twice the count is served without delay, at any point
// in a conn's life.
func TestBurst(t *testing.T) {
	for before := range 16 {
		inBubble(t, Config{}, func(t *testing.T, b *bubble) {
			b.pool.Warm()
			time.Sleep(handshake)
			for range before {
				b.use()
				time.Sleep(time.Second / 2)
			}
			for i := range 32 {
				s, waited := b.open()
				if waited != 0 {
					t.Errorf("after %d sessions: session %d of a burst waited %s", before, i+1, waited)
				}
				defer s.Close()
			}
		})
	}
}

// TestLargeBurst checks that waiting calls share the dials.
func TestLargeBurst(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				s, waited := b.open()
				if waited > 4*handshake {
					t.Errorf("one of 200 sessions at once waited %s", waited)
				}
				s.Close()
			})
		}
		wg.Wait()
		if n, _, _ := b.counts(); n > 14 {
			t.Errorf("%d conns for 200 sessions", n)
		}
	})
}

// TestAge checks that an old conn takes no new sessions and keeps those it has, and that
// its successor is ready before it is needed.
func TestAge(t *testing.T) {
	inBubble(t, Config{ReuseMaxCount: 1000, ReuseMaxAge: time.Minute}, func(t *testing.T, b *bubble) {
		kept, _ := b.open()
		kept.Write([]byte("a"))
		for i := range 14 { // 70 s
			time.Sleep(5 * time.Second)
			on, waited := b.use()
			if waited != 0 {
				t.Errorf("at %d s: waited %s", 5*(i+1), waited)
			}
			if same, want := on == kept.ID().Conn, i < 11; same != want {
				t.Errorf("at %d s: on the first conn: %t, want %t", 5*(i+1), same, want)
			}
		}
		kept.Write([]byte("b"))
		kept.CloseWrite()
		if got, err := io.ReadAll(kept); err != nil || string(got) != "ab" {
			t.Errorf("session on the old conn: %q, %v", got, err)
		}
		kept.Close()
		time.Sleep(5 * time.Second)
		if _, closed, lost := b.counts(); closed != 1 || lost != 0 {
			t.Errorf("%d conns closed, %d of them lost; want the old one closed after its last session", closed, lost)
		}
	})
}

// TestIdle checks that without sessions, every conn closes cleanly after the idle time.
func TestIdle(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		for range 10 {
			b.use()
		}
		time.Sleep(9 * time.Second)
		if b.pool.count() == 0 {
			t.Error("no conn is left 9 s after the last session")
		}
		time.Sleep(3 * time.Second)
		opened, closed, lost := b.counts()
		if b.pool.count() != 0 || closed != opened || lost != 0 {
			t.Errorf("12 s after the last session: %d conns, %d opened, %d closed, %d of them lost", b.pool.count(), opened, closed, lost)
		}
	})
}

// TestFailedDial checks that waiting calls fail with the dial's error, that calls within
// the next second fail immediately, and that the pool recovers on its own when the server
// is back.
func TestFailedDial(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.fail = errors.New("no such luck")
		start := time.Now()
		if _, err := b.pool.open(t.Context()); err == nil || time.Since(start) != handshake {
			t.Errorf("Open = %v after %s, want the dial's error after %s", err, time.Since(start), handshake)
		}
		if b.pool.Reachable() {
			t.Error("Reachable after a failed dial")
		}
		start = time.Now()
		if _, err := b.pool.open(t.Context()); err == nil || time.Since(start) != 0 {
			t.Errorf("Open right after = %v after %s, want an immediate error", err, time.Since(start))
		}
		b.mu.Lock()
		b.fail = nil
		b.mu.Unlock()
		time.Sleep(10 * time.Second)
		if !b.pool.Reachable() {
			t.Error("not Reachable 10 s after the server came back")
		}
		b.use()
	})
}

// TestBackoff checks that dials become less frequent while the server is unreachable.
func TestBackoff(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.fail = errors.New("away")
		b.delay = 0
		b.pool.Warm()
		time.Sleep(4 * time.Minute)
		b.mu.Lock()
		dials := b.dials
		b.mu.Unlock()
		if dials < 10 || dials > 60 {
			t.Errorf("%d dials in 4 minutes, want between 10 and 60", dials)
		}
		time.Sleep(30 * time.Minute)
		b.mu.Lock()
		defer b.mu.Unlock()
		if later := b.dials - dials; later > 20 {
			t.Errorf("%d dials in the following half hour, although the pool was not used", later)
		}
	})
}

// TestConnMax checks that ConnMax is a hard limit, but makes no call fail while a conn is
// open.
func TestConnMax(t *testing.T) {
	inBubble(t, Config{ConnMax: 2, ReuseMaxCount: 2}, func(t *testing.T, b *bubble) {
		var all []*conn.Session
		for range 50 {
			s, _ := b.open()
			all = append(all, s)
			time.Sleep(handshake / 10)
		}
		if n := b.pool.count(); n != 2 {
			t.Errorf("%d conns, want 2", n)
		}
		for _, s := range all {
			s.Close()
		}
	})
}

// TestLostConn checks that a broken conn is replaced before a session needs it.
func TestLostConn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		s, _ := b.open()
		s.Write([]byte("x"))
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		s.Lower().Close()
		if _, err := io.Copy(io.Discard, s); err == nil {
			t.Error("a session on a broken conn ended cleanly")
		}
		s.Close()
		time.Sleep(handshake)
		if _, waited := b.use(); waited != 0 {
			t.Errorf("the next session waited %s", waited)
		}
	})
}
