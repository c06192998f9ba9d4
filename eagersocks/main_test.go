package eagersocks

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"tunnels/internal/code"
	"tunnels/internal/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acceptor returns the connections and errors that are sent to next.
type acceptor struct {
	next   chan any
	done   chan struct{}
	closed sync.Once
}

func newAcceptor() *acceptor {
	return &acceptor{next: make(chan any), done: make(chan struct{})}
}

func (a *acceptor) Accept() (net.Conn, error) {
	select {
	case <-a.done:
		return nil, net.ErrClosed
	case v := <-a.next:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	}
}

func (a *acceptor) Close() error {
	a.closed.Do(func() { close(a.done) })
	return nil
}

// connect sends one end of a pipe to the acceptor and returns the other.
func (a *acceptor) connect() net.Conn {
	app, c := net.Pipe()
	a.next <- c
	return app
}

// testDoor reads requests like a front door.
type testDoor struct{ read door.Reader[*Request] }

func newDoor(c *Config) testDoor {
	return testDoor{door.FirstByte[*Request](c.NewSocksDoor())}
}

// rejections collects a listener's rejections.
type rejections struct {
	mu   sync.Mutex
	errs []error // guarded by mu
}

func (r *rejections) add(_ string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *rejections) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.errs)
}

// count returns how many rejections match want.
func (r *rejections) count(want error) (n int) {
	for _, err := range r.all() {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}

// session is a connection that records how it was reset.
type session struct {
	net.Conn
	mu   sync.Mutex
	code code.Code // guarded by mu
	text string    // guarded by mu
}

func (s *session) Reset(c code.Code, text string) error {
	s.mu.Lock()
	s.code, s.text = c, text
	s.mu.Unlock()
	return s.Conn.Close()
}

func (s *session) wantReset(t *testing.T, want code.Code) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != want {
		t.Errorf("session was reset with %v (%s), want %v", s.code, s.text, want)
	}
}

// listenSocks is ListenSocks with a Config.
func (c *Config) listenSocks(network, address string, _ ...ListenOption) (Listener, error) {
	ln, err := listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return c.NewSocksListener(ln), nil
}

// dialTo connects to a listener returned by Listen or ListenSocks.
func dialTo(t testing.TB, ln Listener) net.Conn {
	t.Helper()
	addr := ln.(interface{ Addr() net.Addr }).Addr()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustListen(t testing.TB, f func(string, string, ...ListenOption) (Listener, error)) Listener {
	t.Helper()
	ln, err := f("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func mustAccept(t testing.TB, ln Listener) (net.Conn, *Request) {
	t.Helper()
	c, req, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, req
}

func wantRead(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// wantCode checks that err has the given code.
func wantCode(t testing.TB, what string, err error, want code.Code) {
	t.Helper()
	if c, ok := code.Of(err); !ok || c != want {
		t.Errorf("%s = %v, want code %v", what, err, want)
	}
}
