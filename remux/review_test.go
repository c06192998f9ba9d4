package remux

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/backlog"
)

// TestWeed: sessions that ended while they waited to be accepted make room for
// others and leave nothing on the budget.
func TestWeed(t *testing.T) {
	p, l := pair(t, Config{ReuseMaxCount: 1 << 14}, Config{})
	for range 2 * backlog.Max {
		s, err := p.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 1000))
		s.Reset(code.TargetReset, "")
	}
	last, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last.Write([]byte("last"))
	for {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.LimitReader(c, 4))
		c.Close()
		if err == nil && string(b) == "last" {
			break
		}
	}
	if n := waiting(l.cfg.Budget); n != 0 {
		t.Errorf("%d bytes of sessions that ended unaccepted still counted", n)
	}
	last.Close()
}

// TestDyingConns: a server on which every conn dies young is not dialed in a
// hurry, and still on request.
func TestDyingConns(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.delay = time.Millisecond
		for range 5 {
			s, _ := b.open()
			s.Write([]byte("x"))
			io.ReadFull(s, make([]byte, 1))
			s.Lower().Close()
			io.Copy(io.Discard, s)
			s.Close()
		}
		b.mu.Lock()
		before := b.dials
		b.mu.Unlock()
		if before > 10 {
			t.Errorf("%d dials for 5 sessions", before)
		}
	})
}

// TestRetiredConn: a conn that waits for its peer's end is no reason to look at
// the pool again and again.
func TestRetiredConn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.use()
		b.pool.mu.Lock()
		b.pool.conns[0].Retire() // that it has ended is noted only when the pool is unlocked
		b.pool.rearmLocked(time.Now().Add(time.Minute))
		if !b.pool.timer.Stop() {
			t.Error("the timer has fired already for a conn that is ending")
		}
		b.pool.mu.Unlock()
	})
}

// TestStopWhileDialing: a dial that Close ends is no failure to be told.
func TestStopWhileDialing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		var told []error
		b.pool.cfg.Hooks.DialDone = func(_ string, _ time.Duration, err error) { told = append(told, err) }
		b.pool.Warm()
		b.pool.Close()
		if len(told) != 0 {
			t.Errorf("told %v of a dial that was given up", told)
		}
		if _, err := b.pool.open(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Open after Close = %v, want net.ErrClosed", err)
		}
	})
}
