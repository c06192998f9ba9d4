package remux_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"tunnels/remux"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t testing.TB) (dialed, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if dialed, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// connPair returns the two ends of a conn.
func connPair(t testing.TB, dialer, acceptor remux.Config) (near, far *remux.Conn) {
	t.Helper()
	a, b := tcpPair(t)
	near, far = dialer.NewConn(a, true), acceptor.NewConn(b, false)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// connAndPeer returns a conn, dialer or acceptor, and its peer, which has sent HELLO with
// the given keys, if any.
func connAndPeer(t testing.TB, cfg remux.Config, dialed, greets bool, kv ...uint32) (*remux.Conn, *peer) {
	t.Helper()
	a, b := tcpPair(t)
	if !dialed {
		a, b = b, a
	}
	c := cfg.NewConn(a, dialed)
	p := newPeer(t, b)
	t.Cleanup(func() { c.Close() })
	if greets {
		p.write(hello(0x8f7ed46a, kv...))
	}
	return c, p
}

// soon returns a context for calls that must return soon.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func mustOpen(t testing.TB, c *remux.Conn) remux.Session {
	t.Helper()
	s, err := c.Open(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAccept(t testing.TB, c *remux.Conn) (s remux.Session) {
	t.Helper()
	within(t, "Accept", func() {
		x, err := c.Accept()
		if err != nil {
			t.Errorf("Accept: %v", err)
			return
		}
		s = x.(remux.Session)
	})
	if s == nil {
		t.FailNow()
	}
	return s
}

// mustNotOpen expects Open to fail without waiting.
func mustNotOpen(t testing.TB, why string, c *remux.Conn) {
	t.Helper()
	ctx := soon(t)
	if s, err := c.Open(ctx); err == nil {
		t.Errorf("%s: Open returned session %v", why, s.ID())
	} else if ctx.Err() != nil {
		t.Errorf("%s: Open waited", why)
	}
}

// echoAll serves the sessions that the peer of c opens, until the conn ends.
func echoAll(c *remux.Conn) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		s, err := c.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			io.Copy(s, s)
			s.(remux.Session).CloseWrite()
			s.Close()
		})
	}
}
