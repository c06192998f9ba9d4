package netx

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a listener whose Accept returns scripted results, then blocks until
// Close.
type scripted struct {
	results chan error // nil for a connection
	closed  chan struct{}
	once    sync.Once
}

func newScripted(results ...error) *scripted {
	s := &scripted{results: make(chan error, len(results)+2), closed: make(chan struct{})}
	for _, r := range results {
		s.results <- r
	}
	return s
}

func (s *scripted) Accept() (net.Conn, error) {
	select {
	case err := <-s.results:
		if err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
		}
		c, far := net.Pipe()
		far.Close()
		return c, nil
	case <-s.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
	}
}

func (s *scripted) Close() error   { s.once.Do(func() { close(s.closed) }); return nil }
func (s *scripted) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func TestAcceptSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []error
		inner := newScripted(syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, nil, errors.New("odd"), nil)
		l := newListener(inner, Config{Report: func(err error) { reports = append(reports, err) }})
		defer l.Close()

		start := time.Now()
		accept := func() {
			t.Helper()
			c, err := l.Accept()
			if err != nil {
				t.Fatalf("Accept() after passing errors = %v, want a connection", err)
			}
			c.Close()
		}
		accept()
		if got, want := time.Since(start), (5+10+20)*time.Millisecond; got != want {
			t.Errorf("three errors took %v, want %v", got, want)
		}
		start = time.Now()
		accept()
		if got, want := time.Since(start), 5*time.Millisecond; got != want {
			t.Errorf("the first error after a success took %v, want %v", got, want)
		}
		if len(reports) != 1 {
			t.Errorf("%d reports of errors with an accepted connection in between, want 1", len(reports))
		}
		inner.results <- syscall.EMFILE
		inner.results <- nil
		time.Sleep(burstGap + time.Second)
		accept()
		if len(reports) != 2 || !errors.Is(reports[0], syscall.EMFILE) {
			t.Errorf("reports = %v, want one per burst, the first of them EMFILE", reports)
		}
	})
}

func TestAcceptPauseIsLimited(t *testing.T) {
	var r Retry
	var last time.Duration
	for range 100 {
		last, _ = r.failed()
	}
	if last != time.Second {
		t.Errorf("pause after 100 errors = %v, want 1s", last)
	}
}

func TestCloseInterruptsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := make([]error, 50)
		for i := range broken {
			broken[i] = syscall.EMFILE
		}
		l := newListener(newScripted(broken...), Config{})
		got := make(chan error)
		go func() {
			_, err := l.Accept()
			got <- err
		}()
		time.Sleep(10*time.Second + time.Millisecond) // to the middle of a one-second pause
		start := time.Now()
		l.Close()
		if err := <-got; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept() during Close = %v, want net.ErrClosed", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Accept returned %v after Close, want immediately", d)
		}
	})
}

func TestCloseOfRealListener(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var ended atomic.Int32
	for range 4 {
		wg.Go(func() {
			if _, err := l.Accept(); errors.Is(err, net.ErrClosed) {
				ended.Add(1)
			}
		})
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	wg.Wait()
	if got := ended.Load(); got != 4 {
		t.Errorf("%d of 4 Accepts ended with net.ErrClosed", got)
	}
}
