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

// TestDropEnded checks that sessions that ended while waiting to be accepted make room
// for others and return everything to the budget.
func TestDropEnded(t *testing.T) {
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
		t.Errorf("%d bytes are still counted for sessions that ended before being accepted", n)
	}
	last.Close()
}

// TestDyingConns checks that a server whose conns are all lost early is redialed with
// backoff, but still immediately on request.
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

// TestRetiredConn checks that a conn waiting for its peer to close does not make the
// pool's timer fire repeatedly.
func TestRetiredConn(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		b.use()
		b.pool.mu.Lock()
		b.pool.conns[0].Retire() // the pool is locked, so it cannot record the conn's end yet
		b.pool.rearmLocked(time.Now().Add(time.Minute))
		if !b.pool.timer.Stop() {
			t.Error("the timer has already fired for a conn that is closing")
		}
		b.pool.mu.Unlock()
	})
}

// TestStopWhileDialing checks that a dial canceled by Close is not reported as a failure.
func TestStopWhileDialing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		var reported []error
		b.pool.cfg.Hooks.DialDone = func(_ string, _ time.Duration, err error) { reported = append(reported, err) }
		b.pool.Warm()
		b.pool.Close()
		if len(reported) != 0 {
			t.Errorf("reported %v for a canceled dial", reported)
		}
		if _, err := b.pool.open(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Open after Close = %v, want net.ErrClosed", err)
		}
	})
}
