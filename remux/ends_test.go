package remux_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// server is a real SessionListener, with a function that connects peers to it.
type server struct {
	testing.TB
	*remux.SessionListener
	connect func() net.Conn
}

func newServer(t testing.TB, cfg remux.Config) *server {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t, cfg.NewListener(ln), func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}}
	t.Cleanup(func() { s.Close() })
	return s
}

// pipeListener accepts one end of each net.Pipe created by connect.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

// newPipeServer returns a server on pipes, for a synctest bubble. wrap, if not nil,
// wraps the server's ends.
func newPipeServer(t testing.TB, cfg remux.Config, wrap func(net.Conn) net.Conn) *server {
	ln := &pipeListener{make(chan net.Conn), make(chan struct{})}
	s := &server{t, cfg.NewListener(ln), func() net.Conn {
		a, b := net.Pipe()
		if wrap != nil {
			b = wrap(b)
		}
		ln.conns <- b
		return a
	}}
	t.Cleanup(func() { s.Close() })
	return s
}

// raw returns a peer that has sent nothing yet.
func (s *server) raw() *peer { return newPeer(s, s.connect()) }

// full returns a peer that has exchanged HELLOs.
func (s *server) full(kv ...uint32) *peer {
	s.Helper()
	p := s.raw()
	p.write(hello(0x8f7ed46a, kv...))
	p.wantHello()
	return p
}

func (s *server) accept(why string) remux.Session {
	s.Helper()
	ch := make(chan net.Conn, 1)
	go func() {
		c, _ := s.Accept()
		ch <- c
	}()
	select {
	case c := <-ch:
		if c == nil {
			s.Fatalf("%s: the listener is closed", why)
		}
		return c.(remux.Session)
	case <-time.After(patience):
		s.Fatalf("%s: no session to accept", why)
	}
	return nil
}

// wantNext accepts the session that p now opens with number n; no other session may be
// queued ahead of it.
func (s *server) wantNext(why string, p *peer, n uint16) remux.Session {
	s.Helper()
	p.write(data(n, "sentinel"))
	x := s.accept(why)
	if x.ID().Number != n {
		s.Fatalf("%s: session %v was accepted, want %d", why, x.ID(), n)
	}
	wantRead(s, why, x, "sentinel")
	return x
}

// client is a real Pool, with access to the conns that it dials.
type client struct {
	testing.TB
	*remux.Pool
	accept func() net.Conn
	stop   chan struct{} // makes acceptOr return
	conns  chan net.Conn // nil except on pipes
}

// acceptOr is like accept without a time limit; it returns nil once stopped.
func (c *client) acceptOr() net.Conn {
	select {
	case nc := <-c.conns:
		return nc
	case <-c.stop:
		return nil
	}
}

func newClient(t testing.TB, cfg remux.Config) *client {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{TB: t, Pool: cfg.NewPool("tcp", ln.Addr().String()), accept: func() net.Conn {
		t.Helper()
		ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
		c, err := ln.Accept()
		if err != nil {
			t.Fatalf("the pool has not dialed: %v", err)
		}
		return c
	}}
	t.Cleanup(func() { ln.Close(); c.Close() })
	return c
}

// newPipeClient returns a client on pipes, for a synctest bubble.
func newPipeClient(t testing.TB, cfg remux.Config, wrap func(net.Conn) net.Conn) *client {
	conns := make(chan net.Conn, 100)
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		conns <- a
		if wrap != nil {
			b = wrap(b)
		}
		return b, nil
	}
	c := &client{TB: t, Pool: cfg.NewPool("tcp", "pipe:1"), stop: make(chan struct{}), conns: conns, accept: func() net.Conn {
		t.Helper()
		select {
		case c := <-conns:
			return c
		case <-time.After(patience):
			t.Fatal("the pool has not dialed")
			return nil
		}
	}}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw returns a peer that has sent nothing yet.
func (c *client) raw() *peer {
	c.Helper()
	c.Warm()
	return newPeer(c, c.accept())
}

// full returns a peer that has exchanged HELLOs.
func (c *client) full(kv ...uint32) *peer {
	c.Helper()
	p := c.raw()
	p.write(hello(0, kv...))
	p.wantHello()
	return p
}

// newFedClient returns a pool that can dial once; the dial returns nc.
func newFedClient(nc net.Conn) *remux.Pool {
	once := make(chan net.Conn, 1)
	once <- nc
	return remux.Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		select {
		case nc := <-once:
			return nc, nil
		default:
			return nil, errors.New("already dialed")
		}
	}}.NewPool("tcp", "pipe:1")
}

func (c *client) open() remux.Session {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.Open(ctx)
	if err != nil {
		c.Fatalf("Open: %v", err)
	}
	return s
}

type helloFrame struct {
	id   uint32
	keys map[byte]uint32
}

func (h helloFrame) window() int { return int(cmp.Or(h.keys[1], 65536)) }

// wantHello expects HELLO as the first frame.
func (p *peer) wantHello() helloFrame {
	p.Helper()
	f, err := p.next()
	if err != nil || !f.is(typeHello) || len(f.payload) < 6 || (len(f.payload)-6)%5 != 0 || f.payload[1] != 1 {
		p.Fatalf("want HELLO first, got %v, %v", f, err)
	}
	h := helloFrame{binary.BigEndian.Uint32(f.payload[2:]), map[byte]uint32{}}
	for b := f.payload[6:]; len(b) > 0; b = b[5:] {
		h.keys[b[0]] = binary.BigEndian.Uint32(b[1:])
	}
	return h
}

// wantRead reads len(want) bytes and expects want.
func wantRead(t testing.TB, why string, s remux.Session, want string) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, len(want))
	if n, err := io.ReadFull(s, b); err != nil || string(b) != want {
		t.Fatalf("%s: want to read %.40q, got %.40q, %v", why, want, b[:n], err)
	}
}

// wantEOF expects want followed by a clean end.
func wantEOF(t testing.TB, why string, s remux.Session, want string) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(s); err != nil || string(b) != want {
		t.Fatalf("%s: want %.40q and the end, got %.40q, %v", why, want, b, err)
	}
}

// wantBroken expects want followed by an error, which it returns.
func wantBroken(t testing.TB, why string, s remux.Session, want string) error {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(s)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || string(b) != want {
		t.Fatalf("%s: want %.40q and an error, got %.40q, %v", why, want, b, err)
	}
	return err
}

// wantCode expects want followed by an error from the peer with code c.
func wantCode(t testing.TB, why string, s remux.Session, want string, c code.Code) error {
	t.Helper()
	err := wantBroken(t, why, s, want)
	if got, ok := code.Of(err); !ok || got != c {
		t.Fatalf("%s: want the code 0x%02x, got %v", why, byte(c), err)
	}
	return err
}

// within expects do to return in time.
func within(t testing.TB, why string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: did not return", why)
	}
}

// pattern returns n bytes that differ by position.
func pattern(n int) string {
	return strings.Repeat("0123456789abcdefghijklmnopqrstuvw", n/33+1)[:n]
}
