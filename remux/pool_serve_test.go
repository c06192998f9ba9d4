package remux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/frame"
)

func (b *bubble) set(delay time.Duration, fail error) {
	b.mu.Lock()
	b.delay, b.fail = delay, fail
	b.mu.Unlock()
}

// hang is a delay longer than the dial timeout.
const hang = time.Hour

// While no successor can be dialed, a working conn continues to serve, however worn it is
// and whether or not it is idle between sessions. Once dials succeed, it is replaced.
func TestWornServesOn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   Config
		delay time.Duration
		fail  error
		pause time.Duration // pause between two sessions
		busy  bool          // one session stays open throughout
		waits time.Duration // longest wait of any session
	}{
		{"count, dials fail", Config{ReuseMaxCount: 2}, 0, errors.New("away"), time.Second, false, 0},
		{"count, dials fail slowly", Config{ReuseMaxCount: 2}, 5 * time.Second, errors.New("away"), 100 * time.Millisecond, false, slowDial},
		{"count, dials hang", Config{ReuseMaxCount: 2}, hang, nil, 100 * time.Millisecond, false, slowDial},
		{"count, dials hang, busy", Config{ReuseMaxCount: 2}, hang, nil, 100 * time.Millisecond, true, slowDial},
		{"age, dials fail", Config{ReuseMaxAge: 2 * time.Second}, 0, errors.New("away"), time.Second, false, 0},
		{"age, dials hang", Config{ReuseMaxAge: 2 * time.Second}, hang, nil, time.Second, false, slowDial},
		{"bytes, dials hang", Config{ReuseMaxBytes: 100}, hang, nil, time.Second, false, slowDial},
		{"idle for long, dials fail", Config{ReuseMaxCount: 2}, 0, errors.New("away"), 40 * time.Second, false, 0},
		{"idle for long, dials hang", Config{ReuseMaxCount: 2}, hang, nil, 40 * time.Second, false, slowDial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.cfg, func(t *testing.T, b *bubble) {
				b.pool.Warm()
				time.Sleep(2 * handshake)
				b.set(tt.delay, tt.fail)
				first, _ := b.use()
				if tt.busy {
					s, _ := b.open()
					defer s.Close()
				}
				for i := range 200 {
					time.Sleep(min(tt.pause, time.Duration(i)*time.Second)) // the successor is needed before the first pause
					on, waited := b.use()
					if on != first || waited > tt.waits {
						t.Fatalf("session %d: on %08x after %s, want %08x within %s", i+2, on, waited, first, tt.waits)
					}
				}
				b.set(handshake, nil)
				for i := range 60 {
					time.Sleep(time.Second)
					if on, _ := b.use(); on != first {
						break
					} else if i == 59 {
						t.Error("still on the worn conn a minute after dials began to succeed")
					}
				}
			})
		})
	}
}

// A conn takes no more sessions, even without a successor, once its numbers or the bytes
// that one key may protect are used up.
func TestSpent(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		key  int64 // bytes that one key may protect
	}{
		{"numbers", Config{}, keyMax},
		{"bytes", Config{}, keyMax},
		{"bytes, few configured", Config{ReuseMaxBytes: 1 << 20}, keyMax},
		{"bytes, more configured", Config{ReuseMaxBytes: 2 * keyMax}, 2 * keyMax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.cfg, func(t *testing.T, b *bubble) {
				if b.pool.limits.Key != tt.key {
					t.Errorf("a key may protect %d bytes, want %d", b.pool.limits.Key, tt.key)
				}
				s, _ := b.open()
				b.set(0, errors.New("away"))
				if tt.name == "numbers" {
					for range frame.LastID / 2 {
						more, _ := b.open()
						more.Close()
					}
				} else {
					synctest.Wait()
					b.pool.mu.Lock()
					b.pool.limits.Key = 1 // HELLO alone exceeds it
					b.pool.mu.Unlock()
				}
				if _, err := b.pool.open(t.Context()); err == nil {
					t.Error("a spent conn took a session")
				}
				s.Close()
			})
		})
	}
}

// A conn that the server refuses is no successor: the working conn stays in use.
func TestRefusedSuccessor(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.pool.Warm()
		time.Sleep(2 * handshake)
		b.mu.Lock()
		b.refuse = 50 * time.Millisecond // as in TLS 1.3: the dial succeeds, then the alert arrives
		b.mu.Unlock()
		first, _ := b.use()
		for i := range 300 {
			if on, waited := b.use(); on != first || waited != 0 {
				t.Fatalf("session %d: on %08x after %s, want %08x without waiting", i, on, waited, first)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// A burst beyond a conn's allowance is shared with its successor, once the server has
// sent something on it. If the server refuses the successor, or sends nothing for a
// second, all sessions are still served.
func TestBurstIsShared(t *testing.T) {
	const burst = 64
	for _, tt := range []struct {
		name   string
		refuse time.Duration // when the successor ends; 0 means that it is accepted
		want   string        // sessions on the first conn, and the longest wait
	}{
		{"taken", 0, fmt.Sprint(40, handshake)},
		{"refused", 50 * time.Millisecond, fmt.Sprint(burst, handshake+50*time.Millisecond)},
		{"silent", hang, fmt.Sprint(40, handshake+slowDial)}, // after that it is used like any other, because a basic server waits for our first frame
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, b *bubble) {
				b.pool.Warm()
				time.Sleep(2 * handshake)
				b.mu.Lock()
				b.refuse = tt.refuse
				b.mu.Unlock()
				first, _ := b.use()
				var mu sync.Mutex
				onFirst, slowest := 1, time.Duration(0)
				var wg sync.WaitGroup
				for range burst - 1 {
					wg.Go(func() {
						s, waited := b.open()
						defer s.Close()
						mu.Lock()
						defer mu.Unlock()
						slowest = max(slowest, waited)
						if s.ID().Conn == first {
							onFirst++
						}
					})
				}
				wg.Wait()
				if got := fmt.Sprint(onFirst, slowest); got != tt.want {
					t.Errorf("sessions on the first conn, and longest wait: %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// Calls waiting for the first conn do not all use it before the server has announced how
// many sessions it accepts. They share the dials started for them.
func TestColdBurst(t *testing.T) {
	inBubbleWith(t, Config{}, Config{SessMax: 64}, func(t *testing.T, b *bubble) {
		var mu sync.Mutex
		on := map[uint32]int{}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				s, waited := b.open()
				if waited > 4*handshake {
					t.Errorf("one of 200 sessions at once waited %s", waited)
				}
				mu.Lock()
				on[s.ID().Conn]++
				mu.Unlock()
				s.Write([]byte("x"))
				if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
					t.Errorf("one of the sessions: %v", err)
				}
				time.Sleep(10 * handshake)
				s.Close()
			})
		}
		wg.Wait()
		for id, n := range on {
			if n > 64 {
				t.Errorf("conn %08x got %d of 200 sessions", id, n)
			}
		}
	})
}

// At the conn limit, waiting calls of Open are served in order as sessions end, in
// whatever way they end.
func TestRoomAtTheLimit(t *testing.T) {
	for name, end := range map[string]func(s *conn.Session){
		"both ends finish":  func(s *conn.Session) { s.CloseWrite(); io.Copy(io.Discard, s) },
		"closed":            func(s *conn.Session) { s.Close() },
		"reset":             func(s *conn.Session) { s.Reset(1, "") },
		"reset by the peer": nil,
	} {
		t.Run(name, func(t *testing.T) {
			inBubbleWith(t, Config{ConnMax: 1}, Config{SessMax: 3}, func(t *testing.T, b *bubble) {
				b.use() // HELLO has arrived
				if end == nil {
					end = func(s *conn.Session) { b.accepted(s.ID()).Reset(code.TargetReset, "") }
				}
				var open []*conn.Session
				for range 3 {
					s, _ := b.open()
					s.Write([]byte("x"))
					open = append(open, s)
				}
				served := make(chan int, 3)
				for i := range 3 {
					go func() {
						s, err := b.pool.open(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						s.Write([]byte("y"))
						served <- i
					}()
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := b.pool.open(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the fourth waiting Open: %v, want DeadlineExceeded", err)
				}
				for i, s := range open {
					start := time.Now()
					end(s)
					select {
					case got := <-served:
						if got != i || time.Since(start) > time.Second {
							t.Errorf("served call %d after %s, want %d", got, time.Since(start), i)
						}
					case <-time.After(time.Minute):
						t.Fatalf("call %d was not served", i)
					}
				}
			})
		})
	}
}

// While a dial hangs, a waiting Open is served as soon as a suspect conn responds.
func TestSuspectAnswers(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		first, err := s.pool.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first.Write([]byte("x"))
		io.ReadFull(first, make([]byte, 1))
		s.mu.Lock()
		s.hang = true
		s.mu.Unlock()
		s.stop()
		first.Write([]byte("x"))
		time.Sleep(6 * time.Second) // PING after 3 s, suspect 1 s later
		start := time.Now()
		got := make(chan *conn.Session, 1)
		go func() {
			more, err := s.pool.open(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- more
		}()
		const wait = slowDial * 3 / 2
		time.Sleep(wait)
		select {
		case <-got:
			t.Fatal("a session used a suspect conn")
		default:
		}
		s.goOn()
		more := <-got
		if more == nil || more.ID().Conn != first.ID().Conn || time.Since(start) != wait {
			t.Errorf("served after %s, want as soon as the conn responded", time.Since(start))
		}
		more.Close()
		first.Close()
	})
}

// While a dial hangs, a waiting Open is served as soon as a suspect conn turns out to be
// merely on a slow line: bytes are acknowledged again.
func TestSuspectIsSlow(t *testing.T) {
	withStopped(t, repeat, func(t *testing.T, s *stopped) {
		s.acked.Store(1)
		first, err := s.pool.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first.Write([]byte("x"))
		io.ReadFull(first, make([]byte, 1))
		s.mu.Lock()
		s.hang = true
		s.mu.Unlock()
		s.stop()
		first.Write([]byte("x"))
		time.Sleep(5200 * time.Millisecond) // PING after 3 s to 4 s, suspect 1 s later
		got := make(chan *conn.Session, 1)
		go func() {
			more, err := s.pool.open(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- more
		}()
		time.Sleep(slowDial + 400*time.Millisecond)
		select {
		case <-got:
			t.Fatal("a session used a suspect conn")
		default:
		}
		s.acked.Add(1)
		start := time.Now()
		more := <-got
		if more == nil || more.ID().Conn != first.ID().Conn || time.Since(start) > time.Second {
			t.Fatalf("served after %s, want at the next check", time.Since(start))
		}
		s.goOn()
		more.Close()
		first.Close()
	})
}

// needlessWait returns an error if a waiting call of Open could be served. It follows the
// documented rules, not pickLocked.
func (p *Pool) needlessWait() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.Len() == 0 {
		return nil
	}
	if p.dialing == 0 && len(p.conns) < p.cfg.ConnMax {
		return errors.New("no conn is being dialed")
	}
	slow := p.dialing == 0 || time.Since(p.health.dialFrom) > slowDial
	for _, c := range p.conns {
		takes, uses := c.Takes()
		worn := uses >= p.cfg.ReuseMaxCount || c.Age() >= p.cfg.ReuseMaxAge
		if takes && (!worn || slow || uses < 2*p.cfg.ReuseMaxCount || len(p.conns) >= p.cfg.ConnMax) {
			return fmt.Errorf("a conn could take the session: used %d times", uses)
		}
	}
	return nil
}

// TestNoNeedlessWait puts a pool through everything that can happen to it, in random
// order, and checks that whenever it settles, no waiting call of Open could be served.
func TestNoNeedlessWait(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{ConnMax: 1 + r.IntN(3), ReuseMaxCount: 1 + r.IntN(4), ReuseMaxAge: time.Duration(1+r.IntN(60)) * time.Second}
		inBubbleWith(t, cfg, Config{SessMax: 1 + r.IntN(3)}, func(t *testing.T, b *bubble) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sessions := make(chan *conn.Session, 1000)
			for step := range 300 {
				switch r.IntN(10) {
				case 0, 1, 2, 3:
					go func() {
						if s, err := b.pool.open(ctx); err == nil {
							s.Write([]byte("x"))
							sessions <- s
						}
					}()
				case 4, 5, 6:
					select {
					case s := <-sessions:
						[]func(){
							func() { s.Close() },
							func() { s.Reset(1, "") },
							func() { s.CloseWrite() },
							func() { s.Lower().Close() },
						}[r.IntN(4)]()
					default:
					}
				case 7:
					b.set(time.Duration(r.IntN(3000))*time.Millisecond, nil)
				case 8:
					b.set(time.Duration(r.IntN(2))*hang, errors.New("away"))
				case 9:
					time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if err := b.pool.needlessWait(); err != nil {
					t.Fatalf("seed %d, step %d: an Open waits although %v", seed, step, err)
				}
			}
			cancel()
			synctest.Wait()
			b.pool.mu.Lock()
			if n := b.pool.waiters.Len(); n != 0 {
				t.Errorf("seed %d: %d calls are still waiting although their context was canceled", seed, n)
			}
			b.pool.mu.Unlock()
		})
	}
}
