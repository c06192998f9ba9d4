package meter

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a stream that always has bytes to read and accepts all writes, until it ends.
type fake struct {
	splice.Stream
	mu       sync.Mutex
	wrote    bytes.Buffer // guarded by mu
	err      error        // guarded by mu; returned by Read and Write
	reset    code.Code    // guarded by mu
	unread   int          // guarded by mu
	returned int          // guarded by mu; number of Discard calls
	ended    chan struct{}
	deadline time.Time // guarded by mu; read deadline
}

func newFake(unread int) *fake { return &fake{unread: unread, ended: make(chan struct{})} }

func (f *fake) Done() <-chan struct{} { return f.ended }

// end ends both directions, cleanly if err is nil. Unread bytes remain.
func (f *fake) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	close(f.ended)
}

func (f *fake) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		return 0, f.err
	case !f.deadline.IsZero() && !time.Now().Before(f.deadline):
		return 0, os.ErrDeadlineExceeded
	case f.unread == 0 && len(p) > 0:
		return 0, io.EOF
	}
	n := min(len(p), f.unread)
	f.unread -= n
	return n, nil
}

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	return f.wrote.Write(p)
}

func (f *fake) Reset(c code.Code, text string) error {
	f.mu.Lock()
	f.reset = c
	f.mu.Unlock()
	f.end(&code.Error{Code: c, Text: text})
	return nil
}

func (f *fake) Close() error { return nil }

func (f *fake) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = t
	return nil
}

func (f *fake) SetWriteDeadline(time.Time) error { return nil }
func (f *fake) SetDeadline(t time.Time) error    { return f.SetReadDeadline(t) }

func (f *fake) written() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrote.Len()
}

// peeker is a fake that lends 50,000-byte chunks.
type peeker struct{ *fake }

func (l peeker) Peek() ([]byte, error) {
	p := make([]byte, 50_000)
	n, err := l.Read(p)
	return p[:n], err
}

func (l peeker) Discard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned++
}

const (
	perSecond = 1 << 20
	most      = perSecond/10 + chunkMax // bytes allowed beyond the rate: a full bucket and one chunk in flight
)

// wantTime checks that moving n bytes took as long as the rate requires.
func wantTime(t *testing.T, what string, since time.Time, n int) {
	t.Helper()
	took := time.Since(since)
	least := time.Duration(float64(n-most) / perSecond * float64(time.Second))
	if took < least || took > least+300*time.Millisecond {
		t.Errorf("%s: %d bytes took %v, want %v or slightly more", what, n, took, least)
	}
}

func TestRate(t *testing.T) {
	const size = 8 << 20
	read := func(s *Stream) { io.Copy(io.Discard, io.LimitReader(s, size)) }
	borrow := func(s *Stream) {
		for n := 0; n < size; s.Discard() {
			b, err := s.Peek()
			if err != nil {
				t.Errorf("Peek = %v", err)
				return
			}
			n += len(b)
		}
	}
	write := func(s *Stream) {
		if n, err := s.Write(make([]byte, size)); n != size || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	for _, tt := range []struct {
		name   string
		stream func() splice.Stream
		move   func(*Stream)
	}{
		{"read", func() splice.Stream { return newFake(2 * size) }, read},
		{"borrow", func() splice.Stream { return peeker{newFake(3 * size)} }, borrow},
		{"write", func() splice.Stream { return newFake(0) }, write},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := NewStream(tt.stream(), NewBytes(perSecond), NewBytes(perSecond), nil)
			since := time.Now()
			tt.move(s)
			wantTime(t, tt.name, since, size)
			since = time.Now()
			s.in.bucket.SetBytes(0)
			s.out.bucket.SetBytes(0)
			if tt.move(s); time.Since(since) > time.Second {
				t.Errorf("%s: took %v after the limit was removed", tt.name, time.Since(since))
			}
		})
	}
}

// TestShared checks that streams share a bucket evenly, and that a stream with only a
// few bytes does not wait long.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := NewBytes(perSecond), make(chan struct{})
		since := time.Now()
		var wg sync.WaitGroup
		var bulk []*fake
		for range 4 {
			f := newFake(0)
			bulk = append(bulk, f)
			wg.Go(func() { NewStream(f, nil, b, stop).Write(make([]byte, 1<<30)) })
		}
		key := NewStream(newFake(0), nil, b, stop)
		total := 0
		for range 100 {
			at := time.Now()
			key.Write([]byte("k"))
			if d := time.Since(at); d > 4*time.Second*chunkMin/perSecond+time.Millisecond {
				t.Fatalf("a keystroke competing with 4 downloads waits %v, want one chunk of each", d)
			}
			time.Sleep(100 * time.Millisecond)
			total = 0
			for _, f := range bulk {
				total += f.written()
			}
			if allowed := int(time.Since(since).Seconds()*perSecond) + most; total > allowed {
				t.Fatalf("%d bytes after %v, want at most %d", total, time.Since(since), allowed)
			}
		}
		for _, f := range bulk {
			if n := f.written(); n < total/4*9/10 || n > total/4*11/10 {
				t.Errorf("one of 4 got %d bytes of %d, want a quarter", n, total)
			}
		}
		close(stop)
		wg.Wait()
	})
}

// TestEnds checks that every way of ending a stream immediately interrupts every
// kind of wait.
func TestEnds(t *testing.T) {
	gone := &code.Error{Code: code.Cancelled, Text: "gone", Remote: true}
	ends := []struct {
		name string
		end  func(*Stream, *fake, chan struct{})
		want func(error) bool
	}{
		{"closed", func(s *Stream, _ *fake, _ chan struct{}) { s.Close() }, func(err error) bool { return err == net.ErrClosed }},
		{"reset here", func(s *Stream, _ *fake, _ chan struct{}) { splice.Abort(s, code.TargetReset, "x") }, func(err error) bool {
			c, _ := code.Of(err)
			return c == code.TargetReset || err == net.ErrClosed
		}},
		{"reset by the peer", func(_ *Stream, f *fake, _ chan struct{}) { f.end(gone) }, func(err error) bool { return errors.Is(err, gone) }},
		{"stopped", func(_ *Stream, _ *fake, stop chan struct{}) { close(stop) }, func(err error) bool {
			c, _ := code.Of(err)
			return c == code.GoingAway
		}},
	}
	waits := map[string]func(*Stream) error{
		"read":   func(s *Stream) error { _, err := s.Read(make([]byte, 5000)); return err },
		"borrow": func(s *Stream) error { _, err := s.Peek(); return err },
		"write":  func(s *Stream) error { _, err := s.Write(make([]byte, 5000)); return err },
	}
	for _, e := range ends {
		for name, wait := range waits {
			synctest.Test(t, func(t *testing.T) {
				f, stop, empty := newFake(1<<20), make(chan struct{}), NewBytes(1)
				empty.reserve(chunkMax)
				s := NewStream(peeker{f}, empty, empty, stop)
				got := make(chan error)
				go func() { got <- wait(s) }()
				synctest.Wait()
				since := time.Now()
				e.end(s, f, stop)
				if err := <-got; !e.want(err) || time.Since(since) != 0 {
					t.Errorf("%s while waiting in %s: %v after %v", e.name, name, err, time.Since(since))
				}
				if name == "borrow" && f.returned != 1 {
					t.Errorf("%s: the borrowed bytes were returned %d times, want once", e.name, f.returned)
				}
			})
		}
	}
}

// TestEndsCleanly checks that data sent before a clean end can still be read, at the
// limited rate.
func TestEndsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		f := newFake(size)
		s := NewStream(peeker{f}, NewBytes(perSecond), NewBytes(perSecond), nil)
		since := time.Now()
		time.AfterFunc(time.Second, func() { f.end(nil) })
		n, err := io.Copy(io.Discard, s)
		if n != size || err != nil {
			t.Errorf("read %d, %v, want %d", n, err, size)
		}
		wantTime(t, "read", since, size)
	})
}

// TestDeadlines checks that a deadline ends a wait without losing data, and that a new
// one can be set afterwards.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBytes(chunkMin) // one chunk per second
		f := newFake(3 * chunkMax)
		s := NewStream(f, b, b, nil)
		s.SetWriteDeadline(time.Now().Add(2500 * time.Millisecond))
		since := time.Now()
		n, err := s.Write(make([]byte, 2*chunkMax))
		if want := chunkMax + 2*chunkMin; n != want || n != f.written() || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(since) != 2500*time.Millisecond {
			t.Errorf("Write = %d, %v after %v, with %d written to the metered stream, want %d at the deadline", n, err, time.Since(since), f.written(), want)
		}
		s.SetWriteDeadline(time.Time{})
		if n, err := s.Write([]byte("more")); n != 4 || err != nil {
			t.Errorf("Write after the deadline was removed = %d, %v", n, err)
		}
		b.reserve(chunkMax)
		since = time.Now()
		time.AfterFunc(time.Second, func() { s.SetReadDeadline(time.Now().Add(time.Second)) })
		if n, err := s.Read(make([]byte, 1000)); n != 1000 || err != nil || time.Since(since) != 2*time.Second {
			t.Errorf("Read = %d, %v after %v, want the available bytes at the deadline", n, err, time.Since(since))
		}
		if n, err := s.Read(make([]byte, 1000)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the deadline = %d, %v", n, err)
		}
		s.SetDeadline(time.Time{})
		if n, err := s.Read(make([]byte, 1000)); n != 1000 || err != nil {
			t.Errorf("Read after the deadline was removed = %d, %v", n, err)
		}
	})
}

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBucket(2, 5)
		for _, want := range []int{5, 2, 0} {
			got := 0
			for range 20 {
				if b.Take() {
					got++
				}
			}
			if got != want {
				t.Errorf("took %d, want %d", got, want)
			}
			if want == 5 {
				time.Sleep(time.Second)
			}
		}
		b.Set(0, 5)
		for range 100 {
			if !b.Take() {
				t.Fatal("a bucket without a limit was empty")
			}
		}
	})
}

// TestDeadlineAfterEnd checks that a deadline loses no bytes already read, even after a
// clean end of the stream.
func TestDeadlineAfterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBytes(chunkMin)
		f := newFake(1000)
		s := NewStream(f, b, b, nil)
		b.reserve(chunkMax)
		b.reserve(chunkMax)
		time.AfterFunc(time.Second, func() {
			f.SetReadDeadline(time.Now()) // the metered stream sees the deadline first
			f.end(nil)
			synctest.Wait()
			s.SetReadDeadline(time.Now())
		})
		if n, err := s.Read(make([]byte, 1000)); n != 1000 || err != nil {
			t.Errorf("Read = %d, %v, want the bytes already read", n, err)
		}
	})
}
