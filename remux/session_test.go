package remux

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
)

// pair returns a pool and a listener, connected over loopback TCP.
func pair(t testing.TB, client, server Config) (*Pool, *SessionListener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := server.NewListener(ln)
	p := client.NewPool("tcp", ln.Addr().String())
	t.Cleanup(func() {
		p.Close()
		l.Close()
	})
	return p, l
}

// TestNetConn checks a session against the contract of net.Conn.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		p, l := pair(t, Config{}, Config{})
		if c1, err = p.Dial(); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { p.Close(); l.Close() }, nil
	})
}

// TestPeek checks that lent bytes count as buffered until they are returned, and that the
// end follows all bytes.
func TestPeek(t *testing.T) {
	p, l := pair(t, Config{}, Config{})
	s, err := p.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	const size = 300_000
	go func() {
		s.Write(make([]byte, size))
		s.(*conn.Session).CloseWrite()
	}()
	got := 0
	for {
		b, err := far.(*conn.Session).Peek()
		if err == io.EOF {
			break
		}
		if err != nil || len(b) == 0 {
			t.Fatalf("Peek = %d bytes, %v", len(b), err)
		}
		got += len(b)
		if w := waiting(l.cfg.Budget); w < int64(len(b)) {
			t.Errorf("%d bytes are buffered while %d are lent out", w, len(b))
		}
		far.(*conn.Session).Discard()
		far.(*conn.Session).Discard() // a second call does nothing
	}
	if w := waiting(l.cfg.Budget); got != size || w != 0 {
		t.Errorf("%d bytes lent out and %d still buffered, want %d and 0", got, w, size)
	}
	far.Close()
}

// TestOnReadable checks that the function is called, once, for anything that would
// unblock Read, and that Read would not block then.
func TestOnReadable(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(near, far *conn.Session)
	}{
		{"bytes", func(near, _ *conn.Session) { near.Write([]byte("x")) }},
		{"an end", func(near, _ *conn.Session) { near.CloseWrite() }},
		{"a reset", func(near, _ *conn.Session) { near.Reset(code.General, "") }},
		{"a deadline", func(_, far *conn.Session) { far.SetReadDeadline(time.Now().Add(time.Millisecond)) }},
		{"a deadline that has passed", func(_, far *conn.Session) { far.SetReadDeadline(time.Now()) }},
		{"Close", func(_, far *conn.Session) { far.Close() }},
		{"the end of the conn", func(near, _ *conn.Session) { near.Lower().Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, l := pair(t, Config{}, Config{})
			c, err := p.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			a, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			near, far := c.(*conn.Session), a.(*conn.Session)
			called := make(chan struct{}, 2)
			if !far.OnReadable(func() { called <- struct{}{} }) {
				t.Fatal("OnReadable = false with nothing to read")
			}
			tt.act(near, far)
			<-called
			if far.OnReadable(func() { called <- struct{}{} }) {
				t.Error("OnReadable = true with something to read")
			}
			if len(called) > 0 {
				t.Error("called twice")
			}
		})
	}
}
