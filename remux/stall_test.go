package remux

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tunnels/remux/internal/flow"
)

// stalled opens n sessions whose near end never reads, and waits until the far end has
// filled their windows.
func stalled(t testing.TB, p *Pool, l *SessionListener, n int) {
	t.Helper()
	for range n {
		s, err := p.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("s")); err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		// A write that exceeds its deadline shows that the window is full.
		far.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if wrote, err := far.Write(make([]byte, flow.FirstWindow+1)); err == nil {
			t.Fatalf("%d bytes written to a session that is not being read", wrote)
		}
		t.Cleanup(func() { s.Close(); far.Close() })
	}
}

// TestStalledReaders checks that sessions that are not being read buffer no more than
// they were granted, and do not hold up other sessions on their conn.
func TestStalledReaders(t *testing.T) {
	for _, n := range []int{1, 8, 32} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p, l := pair(t, Config{ReuseMaxCount: 1000}, Config{})
			stalled(t, p, l, n)
			if got, most := waiting(p.cfg.Budget), int64(n*flow.FirstWindow); got > most {
				t.Errorf("%d bytes are buffered, more than the %d that were granted", got, most)
			}
			const size = 32 << 20
			var wg sync.WaitGroup
			for range 4 {
				s, err := p.open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Write([]byte("x"))
				far, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					io.ReadFull(far, make([]byte, 1))
					io.CopyN(onlyWriter{far}, zeros{}, size)
					far.Close()
				})
				wg.Go(func() {
					if got, err := io.Copy(io.Discard, s); got != size || err != nil {
						t.Errorf("with %d stalled readers: %d bytes, %v, want %d", n, got, err, size)
					}
					s.Close()
				})
			}
			wg.Wait()
			if p.count() != 1 {
				t.Errorf("%d conns, want all sessions on 1", p.count())
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestCloseWithBlockedWriter checks that closing a session, a pool or a listener returns
// even if writers are blocked because the peer is not reading.
func TestCloseWithBlockedWriter(t *testing.T) {
	p, l := pair(t, Config{}, Config{})
	blocked := func() (net.Conn, <-chan error) {
		s, err := p.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			_, err := s.Write(make([]byte, 64<<20))
			done <- err
		}()
		<-started
		return s, done
	}
	s, done := blocked()
	s.Close()
	if err := <-done; err == nil {
		t.Error("a Write of more than the window succeeded without a reader")
	}
	_, done = blocked()
	p.Close()
	if err := <-done; err == nil {
		t.Error("a Write succeeded although its pool was closed")
	}
	l.Close()
}

// BenchmarkBeside measures downloads on a conn that also has sessions that are not being
// read; compare with the case without any.
func BenchmarkBeside(b *testing.B) {
	for _, n := range []int{0, 1, 8, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, l := pair(b, Config{ReuseMaxCount: 1000, ReuseMaxAge: time.Hour}, Config{})
			if n > 0 {
				stalled(b, p, l, n)
			}
			s, err := p.Dial()
			if err != nil {
				b.Fatal(err)
			}
			far, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			const chunk = 1 << 20
			b.SetBytes(chunk)
			var wg sync.WaitGroup
			wg.Go(func() {
				buf := make([]byte, 64<<10)
				for b.Loop() {
					for range chunk / len(buf) {
						far.Write(buf)
					}
				}
				far.Close()
			})
			io.Copy(io.Discard, s)
			wg.Wait()
			s.Close()
		})
	}
}
