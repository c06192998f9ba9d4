package remux

import (
	"io"
	"sync"
	"testing"
	"time"

	"tunnels/remux/internal/conn"
)

// The paths that every byte or every session takes, of both ends over loopback TCP.
// Package conn has those of one end alone.

// ends are the two ends of a session, and what runs at the far one.
type ends struct {
	near, far *conn.Session
	running   sync.WaitGroup
}

// newEnds opens a session over loopback TCP. When the benchmark is over the conns
// end, which ends whatever runs at the far end, and that is awaited.
func newEnds(b *testing.B) *ends {
	b.Helper()
	e := &ends{}
	b.Cleanup(e.running.Wait) // after pair's own
	p, l := pair(b, Config{}, Config{})
	near, err := p.Dial()
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	e.near, e.far = near.(*conn.Session), far.(*conn.Session)
	return e
}

// BenchmarkRoundTrip is a keystroke and its echo.
func BenchmarkRoundTrip(b *testing.B) {
	e := newEnds(b)
	e.running.Go(func() { echo(e.far) })
	buf := make([]byte, 64)
	b.ReportAllocs()
	b.SetBytes(2 * int64(len(buf)))
	for b.Loop() {
		if _, err := e.near.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(e.near, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// echo sends back what comes, until the session ends.
func echo(s *conn.Session) {
	buf := make([]byte, 64)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		if _, err := s.Write(buf[:n]); err != nil {
			return
		}
	}
}

// BenchmarkOpenClose is the whole life of a session that carries a byte each way.
func BenchmarkOpenClose(b *testing.B) {
	var server sync.WaitGroup
	b.Cleanup(server.Wait) // after pair's own
	// As many sessions on one conn as it has numbers: what is measured is not the
	// dialing.
	p, l := pair(b, Config{ReuseMaxCount: 1 << 15, ReuseMaxAge: time.Hour}, Config{})
	server.Go(func() { serveByte(l) })
	one := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := exchangeByte(b, p, one); err != nil {
			b.Fatal(err)
		}
	}
}

// exchangeByte opens a session, writes a byte, reads one and closes.
func exchangeByte(b *testing.B, p *Pool, one []byte) error {
	s, err := p.open(b.Context())
	if err != nil {
		return err
	}
	if _, err := s.Write(one); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, one); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	<-s.Done() // or the next session would pay for the end of this one
	return nil
}

// serveByte answers a byte with a byte, one session after the other, until the
// listener is closed. Where it fails, so does the other end.
func serveByte(l *SessionListener) {
	one := make([]byte, 1)
	for {
		s, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := io.ReadFull(s, one); err == nil {
			s.Write(one)
		}
		s.Close()
	}
}

// BenchmarkBulk is an upload.
func BenchmarkBulk(b *testing.B) {
	b.Run("deliver", func(b *testing.B) { benchBulk(b, true) })
	b.Run("borrow", func(b *testing.B) { benchBulk(b, false) })
}

func benchBulk(b *testing.B, deliver bool) {
	e := newEnds(b)
	var delivered, borrowed int
	if deliver {
		e.far.Deliver(takeAll(&delivered))
	}
	var end error
	e.running.Go(func() { borrowed, end = borrowAll(e.far) })
	buf := make([]byte, 256<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	b.ResetTimer()
	// Not b.Loop, which would stop the clock with bytes still on their way.
	for range b.N {
		if _, err := e.near.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.near.CloseWrite(); err != nil {
		b.Fatal(err)
	}
	e.running.Wait()
	if got, want := delivered+borrowed, b.N*len(buf); end != io.EOF || got != want {
		b.Fatalf("%d bytes arrived and then %v, want %d and the end", got, end, want)
	}
}

// takeAll is a sink that takes all, and adds to got how much that was.
func takeAll(got *int) func(pieces [][]byte) int {
	return func(pieces [][]byte) int {
		n := 0
		for _, p := range pieces {
			n += len(p)
		}
		*got += n
		return n
	}
}

// borrowAll reads to the end of s and says how much that was, and what the end is.
func borrowAll(s *conn.Session) (int, error) {
	n := 0
	for {
		p, err := s.Borrow()
		if err != nil {
			return n, err
		}
		n += len(p)
		s.GiveBack()
	}
}
