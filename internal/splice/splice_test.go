package splice

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns both ends of a new connection, which are closed when the test ends.
func pair(t testing.TB, network string) (Stream, Stream) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(Stream), accepted.(Stream)
}

// tcpPair is pair for TCP, with the concrete type.
func tcpPair(t testing.TB) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	a, b := pair(t, "tcp")
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// joined is an application and a target that Both has joined.
type joined struct {
	app, target Stream
	result      chan Result
}

// joinPairs joins an application and a target, both over network.
func joinPairs(t testing.TB, network string) joined {
	t.Helper()
	app, a := pair(t, network)
	target, b := pair(t, network)
	return joined{app, target, both(a, b)}
}

// both starts Both with Cancelled for a and TargetReset for b.
func both(a, b Stream) chan Result {
	result := make(chan Result, 1)
	go func() { result <- Both(a, b, code.Cancelled, code.TargetReset) }()
	return result
}

// hidden is a stream that hides its socket.
type hidden struct{ Stream }

// session is a stream that records its first Reset.
type session struct {
	Stream
	mu   sync.Mutex
	code code.Code // guarded by mu; from the first Reset
	text string    // guarded by mu; from the first Reset
}

func (s *session) Reset(c code.Code, text string) error {
	s.mu.Lock()
	if s.code == code.OK {
		s.code, s.text = c, text
	}
	s.mu.Unlock()
	return s.Stream.Close()
}

func (s *session) wantReset(t *testing.T, c code.Code, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != c || s.text != text {
		t.Errorf("session was reset with %v, %q; want %v, %q", s.code, s.text, c, text)
	}
}

func wantClean(t *testing.T, r Result, fromA, fromB int64) {
	t.Helper()
	if want := (Result{FromA: fromA, FromB: fromB}); r != want {
		t.Errorf("Both = %+v, want %+v", r, want)
	}
}

func TestHalfClose(t *testing.T) {
	answer := bytes.Repeat([]byte("answer! "), 1<<17)
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			j := joinPairs(t, network)
			io.WriteString(j.app, "request")
			j.app.CloseWrite()
			if got, err := io.ReadAll(j.target); string(got) != "request" || err != nil {
				t.Fatalf("target read %q, %v; want the request and its end", got, err)
			}
			go func() { j.target.Write(answer); j.target.CloseWrite() }()
			if got, err := io.ReadAll(j.app); !bytes.Equal(got, answer) || err != nil {
				t.Fatalf("application read %d bytes, %v; want %d", len(got), err, len(answer))
			}
			wantClean(t, <-j.result, 7, int64(len(answer)))
		})
	}
}

func TestEveryByteBothWays(t *testing.T) {
	const size = 8 << 20
	for name, wrap := range map[string]func(Stream) Stream{
		"sockets": func(s Stream) Stream { return s },
		"hidden":  func(s Stream) Stream { return hidden{s} },
	} {
		t.Run(name, func(t *testing.T) {
			app, a := pair(t, "tcp")
			target, b := pair(t, "tcp")
			result := both(wrap(a), wrap(b))
			var wg sync.WaitGroup
			for _, way := range [][2]Stream{{app, target}, {target, app}} {
				var sent [32]byte
				wg.Go(func() {
					h := sha256.New()
					src := rand.NewChaCha8([32]byte{1})
					w := io.MultiWriter(way[0], h)
					for left := size; left > 0; {
						n := min(left, 1+rand.IntN(100_000))
						io.CopyN(w, src, int64(n))
						left -= n
					}
					way[0].CloseWrite()
					h.Sum(sent[:0])
				})
				wg.Go(func() {
					h := sha256.New()
					if n, err := io.Copy(h, way[1]); n != size || err != nil {
						t.Errorf("read %d bytes, %v; want %d", n, err, size)
					}
				})
			}
			wg.Wait()
			wantClean(t, <-result, size, size)
		})
	}
}

func TestApplicationReset(t *testing.T) {
	app, a := pair(t, "tcp")
	far, b := pair(t, "tcp")
	s := &session{Stream: b}
	result := both(a, s)
	app.(*net.TCPConn).SetLinger(0)
	app.Close()
	r := <-result
	if r.Failed != A || !errors.Is(r.Err, syscall.ECONNRESET) {
		t.Errorf("Both = %+v, want a failed with ECONNRESET", r)
	}
	s.wantReset(t, code.Cancelled, "")
	_ = far
}

func TestResetReachesApplication(t *testing.T) {
	j := joinPairs(t, "tcp")
	j.target.(*net.TCPConn).SetLinger(0)
	j.target.Close()
	if _, err := j.app.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("application read %v, want ECONNRESET", err)
	}
	if r := <-j.result; r.Failed != B {
		t.Errorf("Both = %+v, want b failed", r)
	}
}

// failing is a session whose Read returns err.
type failing struct {
	*session
	err error
}

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestErrorCodeIsPassedOn(t *testing.T) {
	reset := &code.Error{Code: code.Refused, Text: "nobody there", Remote: true}
	_, a := pair(t, "tcp")
	app, b := pair(t, "tcp")
	broken := failing{&session{Stream: hidden{a}}, reset}
	other := &session{Stream: b}
	r := <-both(broken, other)
	if r.Failed != A || !errors.Is(r.Err, reset) {
		t.Errorf("Both = %+v, want a failed with %v", r, reset)
	}
	other.wantReset(t, code.Refused, "nobody there")
	broken.wantReset(t, code.Refused, "nobody there")
	_ = app
}

func TestDeadlineIsNotCleanEnd(t *testing.T) {
	app, a := pair(t, "tcp")
	target, b := pair(t, "tcp")
	a.SetReadDeadline(time.Now().Add(-time.Second))
	if r := <-both(a, b); r.Failed != A || !errors.Is(r.Err, os.ErrDeadlineExceeded) {
		t.Errorf("Both = %+v, want a failed with a deadline", r)
	}
	for name, c := range map[string]Stream{"application": app, "target": target} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s read %v, want ECONNRESET", name, err)
		}
	}
}

// TestAnswerBeforeTargetResetArrives checks that if a server responds early and closes
// without reading the whole request, its response arrives.
func TestAnswerBeforeTargetResetArrives(t *testing.T) {
	answer := bytes.Repeat([]byte("too large "), 2000) // fits in an unread socket's buffer
	app, a := pair(t, "tcp")
	target, b := pair(t, "tcp")
	s := &session{Stream: a}
	ready := make(chan struct{})
	result := both(s, &gated{Stream: b, open: ready})

	if _, err := app.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Write(answer); err != nil {
		t.Fatal(err)
	}
	target.Close() // sends RST, because bytes are unread
	// The application keeps writing until a write to the target fails.
	go func() {
		for {
			if _, err := app.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}()
	got := make([]byte, len(answer))
	if n, err := io.ReadFull(app, got); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("application read %d bytes of the answer, %v; want %d", n, err, len(answer))
	}
	if r := <-result; r.Failed != B || r.Err == nil {
		t.Errorf("Both = %+v, want b failed", r)
	}
	s.wantReset(t, code.TargetReset, "")
}

// gated is a target that becomes readable only once a write to it has failed.
type gated struct {
	Stream
	open chan struct{}
	once sync.Once
}

func (g *gated) Write(p []byte) (int, error) {
	n, err := g.Stream.Write(p)
	if err != nil {
		g.once.Do(func() { close(g.open) })
	}
	return n, err
}

func (g *gated) WaitReadable() error { <-g.open; return nil }

// TestWriteToDeadApplicationEnds checks that a join does not wait for an application
// that finished sending and went away.
func TestWriteToDeadApplicationEnds(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			app, a := pair(t, network)
			far, b := pair(t, network)
			s := &session{Stream: b}
			result := both(a, s)
			app.Close()
			if n, err := far.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("far end read %d, %v; want EOF", n, err)
			}
			for { // write from the far end until that fails
				if _, err := far.Write(make([]byte, 1000)); err != nil {
					break
				}
			}
			if r := <-result; r.Failed != A || r.Err == nil {
				t.Errorf("Both = %+v, want a failed", r)
			}
			s.wantReset(t, code.Cancelled, "")
		})
	}
}

// departed is an end that finished sending and went away, so CloseWrite fails.
type departed struct{ Stream }

func (departed) Read([]byte) (int, error) { return 0, io.EOF }
func (departed) CloseWrite() error        { return syscall.ENOTCONN }

func TestCloseWriteFailsAfterEOF(t *testing.T) {
	app, a := pair(t, "tcp")
	_, b := pair(t, "tcp")
	result := both(a, departed{hidden{b}})
	if _, err := app.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("application read %v, want EOF", err)
	}
	app.CloseWrite()
	wantClean(t, <-result, 0, 0)
}

// waitFirst is a source that fails the test if Read is called before WaitReadable.
type waitFirst struct {
	Stream
	t        *testing.T
	readable chan struct{} // one value per Read that will not block
	waited   bool          // owned by the reader
}

func (c *waitFirst) WaitReadable() error {
	<-c.readable
	c.waited = true
	return nil
}

func (c *waitFirst) Read(p []byte) (int, error) {
	if !c.waited {
		c.t.Error("Read without WaitReadable before it")
	}
	c.waited = false
	return c.Stream.Read(p)
}

func TestWaitReadableBeforeRead(t *testing.T) {
	app, a := pair(t, "tcp")
	target, b := pair(t, "tcp")
	c := &waitFirst{Stream: a, t: t, readable: make(chan struct{}, 2)}
	result := both(c, b)
	for _, say := range []string{"one", "two"} {
		io.WriteString(app, say)
		c.readable <- struct{}{}
		got := make([]byte, 3)
		if _, err := io.ReadFull(target, got); string(got) != say || err != nil {
			t.Fatalf("target read %q, %v; want %q", got, err, say)
		}
	}
	app.CloseWrite()
	target.CloseWrite()
	c.readable <- struct{}{}
	wantClean(t, <-result, 6, 0)
}

// peeker is a Peeker that lends its pieces one by one and fails the test if Read is
// called.
type peeker struct {
	*net.TCPConn
	pieces []string
	lent   bool
	t      *testing.T
}

func (l *peeker) Peek() ([]byte, error) {
	if l.lent {
		l.t.Error("Peek before Discard")
	}
	if len(l.pieces) == 0 {
		return nil, io.EOF
	}
	p := l.pieces[0]
	l.pieces, l.lent = l.pieces[1:], true
	return []byte(p), nil
}

func (l *peeker) Discard() {
	if !l.lent {
		l.t.Error("Discard without Peek")
	}
	l.lent = false
}

func (l *peeker) Read([]byte) (int, error) {
	l.t.Error("Read called on a peeker")
	return 0, io.EOF
}

// TestPeeker checks that a Peeker is read through Peek, not Read.
func TestPeeker(t *testing.T) {
	_, a := tcpPair(t)
	app, b := tcpPair(t)
	defer app.Close()
	done := make(chan Result, 1)
	go func() {
		done <- Both(&peeker{TCPConn: a, pieces: []string{"one ", "two ", "three"}, t: t}, b, code.General, code.General)
	}()
	app.CloseWrite()
	got, err := io.ReadAll(app)
	if err != nil || string(got) != "one two three" {
		t.Errorf("application read %q, %v", got, err)
	}
	if r := <-done; r.Err != nil || r.FromA != 13 {
		t.Errorf("Both = %+v, want 13 bytes from a and no error", r)
	}
}

// sleeper is a Sleeper whose callbacks are called by the test.
type sleeper struct {
	*net.TCPConn
	asked chan func() // callbacks to call when there is data to read
}

func (s *sleeper) OnReadable(f func()) bool {
	select {
	case s.asked <- f:
		return true
	default: // asked is full, so pretend that Read would not block
		return false
	}
}

// TestSleeper checks that a Sleeper at either end is read whenever it becomes readable,
// to end of file.
func TestSleeper(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		peer, a := tcpPair(t)
		app, b := tcpPair(t)
		s := &sleeper{TCPConn: a, asked: make(chan func(), 1)}
		done := make(chan Result, 1)
		go func() {
			if swapped {
				done <- Both(b, s, code.General, code.General)
			} else {
				done <- Both(s, b, code.General, code.General)
			}
		}()
		wake := <-s.asked
		io.WriteString(app, "there")
		app.CloseWrite()
		if got, err := io.ReadAll(peer); err != nil || string(got) != "there" {
			t.Errorf("opposite a sleeping direction: %q, %v, want \"there\"", got, err)
		}
		io.WriteString(peer, "back")
		peer.CloseWrite()
		s.asked <- nil // from now on OnReadable returns false
		go wake()
		if got, err := io.ReadAll(app); err != nil || string(got) != "back" {
			t.Errorf("after waking: %q, %v, want \"back\"", got, err)
		}
		if r := <-done; r.Err != nil || r.FromA+r.FromB != 9 {
			t.Errorf("Both = %+v, want 9 bytes and no error", r)
		}
		peer.Close()
		app.Close()
	}
}
