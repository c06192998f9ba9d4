package remux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// A conn that is lost breaks what is open on it, never ends it.
func TestAdversaryConnLost(t *testing.T) {
	tails := map[string][]byte{
		"between frames": nil,
		"in a header":    {0, 1, 0},
		"in a frame":     raw(1, 100, "only this"),
		"in HELLO's kin": {0, 0, 0, 9, typePing, 1, 2},
		"behind GOAWAY":  goAway(0, code.OK, ""),
	}
	for where, tail := range tails {
		for _, abrupt := range []bool{false, true} {
			t.Run(where, func(t *testing.T) {
				closed := make(chan error, 1)
				s := newServer(t, remux.Config{Hooks: &remux.Hooks{ConnClosed: func(_ remux.ID, _ net.Conn, _ time.Duration, err error) { closed <- err }}})
				p := s.full()
				x := s.wantNext("open", p, 1)
				y := s.wantNext("a session that is complete", p, 3)
				p.write(data(1, "before"), data(3, "all"), fin(3))
				p.barrier("all of it has come")
				p.write(append([]byte{}, tail...))
				if abrupt {
					p.c.(*net.TCPConn).SetLinger(0)
				}
				p.c.Close()
				within(t, "Done", func() { <-x.Done(); <-y.Done() })
				want := "before"
				if where == "in a frame" { // what came of it may or may not be delivered
					x.SetReadDeadline(time.Now().Add(patience))
					if b, err := io.ReadAll(x); err == nil || len(b) < len(want) || string(b) != (want + "only this")[:len(b)] {
						t.Errorf("read %q, %v", b, err)
					}
				} else {
					wantBroken(t, where, x, want)
				}
				wantEOF(t, "FIN had come", y, "all")
				if _, err := y.Write([]byte("x")); err == nil {
					t.Error("Write to a conn that is lost succeeds")
				}
				within(t, "ConnClosed", func() {
					if err := <-closed; err == nil {
						t.Error("ConnClosed is told of a clean end")
					}
				})
			})
		}
	}
}

// GOAWAY of the peer with 0x14 ends all sessions.
func TestAdversaryPeerSaysProtocolError(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.full()
	x := c.open()
	x.Write([]byte("hi"))
	p.wantData("open", 1, "hi")
	p.write(data(1, "before"), goAway(1, code.Protocol, "you\nare wrong"))
	p.c.(*net.TCPConn).CloseWrite()
	wantBroken(t, "the session", x, "before")
	p.wantClosed("the conn")
}

// GOAWAY of the peer: no new sessions on that conn, those that are go on, and
// behind the last one the conn ends.
func TestAdversaryPeerGoesAway(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.full()
	x := c.open()
	x.Write([]byte("hi"))
	p.wantData("open", 1, "hi")
	p.write(goAway(1, code.OK, "maintenance"))
	p.barrier("GOAWAY has come")

	second := make(chan remux.Session, 1)
	go func() {
		y, err := c.Dial()
		if err != nil {
			t.Error(err)
			close(second)
			return
		}
		second <- y.(remux.Session)
	}()
	q := newPeer(t, c.accept())
	q.write(hello(0))
	q.wantHello()
	y := <-second
	if y == nil {
		return
	}
	q.wantFrame("the next session is on the next conn", open(1))

	p.write(data(1, "going on"))
	wantRead(t, "the old session", x, "going on")
	x.Write([]byte("both ways"))
	p.wantData("the old session", 1, "both ways")
	x.CloseWrite()
	p.wantFrame("its end", fin(1))
	p.wantIdle("the conn waits for the other direction")
	p.write(fin(1))
	wantEOF(t, "its end", x, "")
	f, err := p.next(typePing, typeWindow)
	if err == nil && f.is(typeGoAway) { // the page does not forbid it
		f, err = p.next(typePing, typeWindow)
	}
	if err != io.EOF {
		t.Fatalf("the conn ends with its last session: %v, %v", f, err)
	}
	p.c.Close()
	q.wantIdle("the next conn is not touched")
}

// GOAWAY of ours: PING behind it; sessions are accepted until its PONG comes,
// refused with 0x17 then; the conn ends behind the last one.
func TestAdversaryWeGoAway(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("old", p, 5)
	p.silent.Store(true)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if last := p.wantLeaving("Shutdown"); last != 5 {
		t.Errorf("GOAWAY names %d as the last session, want 5", last)
	}
	mark := string(p.wantType("behind it", typePing).payload[1:])
	p.write(pong(be64(0))) // which is not the answer to that
	y := s.wantNext("a session that was on its way", p, 7)
	z := s.wantNext("and one with a lower number", p, 3)
	p.write(pong(mark), data(9, "late"))
	p.wantReset("behind the barrier", 9, code.GoingAway)
	p.write(data(9, "late"), fin(9), open(11))
	p.wantReset("OPEN too", 11, code.GoingAway)
	for n, w := range map[uint16]remux.Session{5: x, 7: y, 3: z} {
		p.write(data(n, "on"))
		wantRead(t, "old ones go on", w, "on")
		w.Write([]byte("on"))
		p.wantData("old ones go on", n, "on")
		p.write(fin(n))
		wantEOF(t, "the peer's end", w, "")
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned %v with sessions open", err)
		default:
		}
		w.CloseWrite()
		p.wantFrame("our end", fin(n))
	}
	p.wantClosed("behind the last session")
	p.c.Close()
	within(t, "Shutdown", func() {
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// The conn ends in order: GOAWAY, all data, the end of our direction, and then
// 2 s at most for the peer's.
func TestAdversaryGraceful(t *testing.T) {
	closed := make(chan error, 1)
	c := newClient(t, remux.Config{Hooks: &remux.Hooks{ConnClosed: func(_ remux.ID, _ net.Conn, _ time.Duration, err error) { closed <- err }}})
	p := c.full(1, 1<<30)
	x := c.open()
	p.write(padding())
	all := pattern(5 << 20)
	go func() {
		x.Write([]byte(all))
		x.CloseWrite()
		c.Shutdown(context.Background())
	}()
	got := ""
	goneAway := false
	for {
		f, err := p.next(typePing, typeWindow)
		if err != nil {
			t.Fatalf("before FIN: %v", err)
		}
		if f.session == 1 && len(f.payload) == 0 {
			break
		}
		goneAway = goneAway || f.is(typeGoAway)
		if f.session == 1 {
			got += string(f.payload)
		}
	}
	if got != all {
		t.Fatalf("%d bytes of %d came", len(got), len(all))
	}
	if !goneAway {
		p.wantLeaving("Shutdown")
	}
	p.write(fin(1))
	p.wantClosed("our direction ends")
	p.write(ping("too late"), padding()) // is no error
	select {
	case err := <-closed:
		t.Fatalf("the conn did not wait for the peer's end: %v", err)
	default:
	}
	p.c.Close()
	within(t, "ConnClosed", func() {
		if err := <-closed; err != nil {
			t.Errorf("a clean end is told as %v", err)
		}
	})
}

// A peer that does not end its direction is waited for 2 s, not for ever.
func TestAdversaryLinger(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	start := time.Now()
	within(t, "Shutdown", func() { s.Shutdown(context.Background()) })
	p.wantLeaving("Shutdown")
	p.wantClosed("our direction ends")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a peer that stays was waited for %v", took)
	}
	if err := p.send(padding(), padding()); err == nil {
		within(t, "the peer learns of it", func() {
			for p.send(padding()) == nil {
			}
		})
	}
}

// An end of stream with no GOAWAY is the loss of the conn, with GOAWAY it is
// the ordinary end.
func TestAdversaryPeerEnds(t *testing.T) {
	for _, said := range []bool{false, true} {
		closed := make(chan error, 1)
		s := newServer(t, remux.Config{Hooks: &remux.Hooks{ConnClosed: func(_ remux.ID, _ net.Conn, _ time.Duration, err error) { closed <- err }}})
		p := s.full()
		if said {
			p.write(goAway(0, code.OK, ""))
		}
		p.c.(*net.TCPConn).CloseWrite()
		for {
			f, err := p.next(typePing)
			if err != nil {
				break
			}
			if !f.is(typeGoAway) {
				t.Errorf("said %v: %v", said, f)
			}
		}
		within(t, "ConnClosed", func() {
			if err := <-closed; (err == nil) != said {
				t.Errorf("GOAWAY %v: ConnClosed(%v)", said, err)
			}
		})
	}
}

// GOAWAY before the dialer has opened anything, twice, and in the middle of Open.
func TestAdversaryGoAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{}, nil)
		p := c.raw()
		p.write(hello(0), goAway(0, code.OK, ""), goAway(0, code.OK, ""))
		p.wantHello()
		if f, err := p.next(typePing); err == nil && !f.is(typeGoAway) {
			t.Errorf("want the end, got %v", f)
		}
		synctest.Wait()
		if n := remux.Conns(c.Pool); n != 0 {
			t.Errorf("%d conns are left", n)
		}
		go newPeerOn(t, c)
		x := c.open()
		if x.ID().Number != 1 {
			t.Errorf("opened %v", x.ID())
		}
	})
}

func newPeerOn(t *testing.T, c *client) {
	p := newPeer(t, c.accept())
	p.write(hello(0))
}

// A peer that ends the conn while it is asked to shut down.
func TestAdversaryCloseUnderWay(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	p.wantLeaving("Shutdown")
	cancel()
	within(t, "Shutdown", func() { <-done })
	if _, err := x.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the session that was cut off reads %v", err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
