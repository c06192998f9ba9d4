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
			s.conn.nc.Close()
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
		c := b.pool.conns[0]
		b.pool.mu.Unlock()
		c.mu.Lock()
		c.end.state = draining // as retire does, but the end never comes
		c.mu.Unlock()
		b.pool.mu.Lock()
		b.pool.rearmLocked(time.Now().Add(time.Minute))
		b.pool.mu.Unlock()
		if !b.pool.timer.Stop() {
			t.Error("the timer has fired already for a conn that is ending")
		}
	})
}

// TestLateFin: the end of a direction whose last Write timed out is sent.
func TestLateFin(t *testing.T) {
	p, l := pair(t, Config{}, Config{})
	c, err := p.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s := c.(*session)
	s.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	done := make(chan int)
	go func() {
		n, _ := s.Write(make([]byte, 1<<20))
		done <- n
	}()
	for { // until the Write waits for the window
		s.conn.mu.Lock()
		stuck := s.stuckLocked()
		s.conn.mu.Unlock()
		if stuck {
			break
		}
	}
	s.CloseWrite()
	wrote := <-done
	got, err := io.Copy(io.Discard, onlyReader{far})
	if err != nil || got != int64(wrote) {
		t.Errorf("read %d bytes, %v, want the %d that were written and their end", got, err, wrote)
	}
}

type onlyReader struct{ io.Reader }

// TestDeadIsNoTarget: the death of a conn is not mistaken for an answer about a
// target.
func TestDeadIsNoTarget(t *testing.T) {
	if c, ok := code.Of(errDead); ok {
		t.Errorf("errDead carries code %s", c)
	}
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
