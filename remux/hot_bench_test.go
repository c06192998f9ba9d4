package remux

import (
	"io"
	"sync"
	"testing"
	"time"

	"tunnels/remux/internal/conn"
)

// These benchmarks cover the code that handles every byte or session, with both ends over
// loopback TCP. Package conn has benchmarks for one end.

// ends holds the two ends of a session and the goroutines at the far end.
type ends struct {
	near, far *conn.Session
	running   sync.WaitGroup
}

// newEnds opens a session over loopback TCP. When the benchmark ends, it closes the
// conns, which stops the goroutines at the far end, and waits for them.
func newEnds(b *testing.B) *ends {
	b.Helper()
	e := &ends{}
	b.Cleanup(e.running.Wait) // runs after the cleanup of pair
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

// BenchmarkRoundTrip measures a keystroke and its echo.
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

// echo sends received bytes back until the session ends.
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

// BenchmarkOpenClose measures the whole life of a session that carries one byte in each
// direction.
func BenchmarkOpenClose(b *testing.B) {
	var server sync.WaitGroup
	b.Cleanup(server.Wait) // runs after the cleanup of pair
	// Use every session number of a conn, so that dialing is not measured.
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
	<-s.Done() // otherwise the next session's time would include the end of this one
	return nil
}

// serveByte reads a byte and writes one back, one session at a time, until the listener
// is closed. If it fails, so does the other end.
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

// BenchmarkBulk measures an upload.
func BenchmarkBulk(b *testing.B) {
	b.Run("deliver", func(b *testing.B) { benchBulk(b, true) })
	b.Run("borrow", func(b *testing.B) { benchBulk(b, false) })
}

func benchBulk(b *testing.B, deliver bool) {
	e := newEnds(b)
	var delivered, borrowed int
	if deliver {
		e.far.SetSink(takeAll(&delivered))
	}
	var end error
	e.running.Go(func() { borrowed, end = borrowAll(e.far) })
	buf := make([]byte, 256<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	b.ResetTimer()
	// Not b.Loop, which would stop the clock with bytes still in flight.
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

// takeAll returns a sink that consumes everything and counts it in got.
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

// borrowAll reads to the end of s and returns the number of bytes and the final error.
func borrowAll(s *conn.Session) (int, error) {
	n := 0
	for {
		p, err := s.Peek()
		if err != nil {
			return n, err
		}
		n += len(p)
		s.Discard()
	}
}
