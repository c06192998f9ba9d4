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

// The loss of a conn breaks its open sessions; none ends cleanly.
func TestAdversaryConnLost(t *testing.T) {
	tails := map[string][]byte{
		"between frames":     nil,
		"in a header":        {0, 1, 0},
		"in a frame":         raw(1, 100, "only this"),
		"in a control frame": {0, 0, 0, 9, typePing, 1, 2},
		"after GOAWAY":       goAway(0, code.OK, ""),
	}
	for where, tail := range tails {
		for _, abrupt := range []bool{false, true} {
			t.Run(where, func(t *testing.T) {
				closed := make(chan error, 1)
				s := newServer(t, remux.Config{Hooks: &remux.Hooks{ConnClosed: func(_ remux.ID, _ net.Conn, _ time.Duration, err error) { closed <- err }}})
				p := s.full()
				x := s.wantNext("open", p, 1)
				y := s.wantNext("a complete session", p, 3)
				p.write(data(1, "before"), data(3, "all"), fin(3))
				p.barrier("everything has arrived")
				p.write(append([]byte{}, tail...))
				if abrupt {
					p.c.(*net.TCPConn).SetLinger(0)
				}
				p.c.Close()
				within(t, "Done", func() { <-x.Done(); <-y.Done() })
				want := "before"
				if where == "in a frame" { // the part that arrived may or may not be delivered
					x.SetReadDeadline(time.Now().Add(patience))
					if b, err := io.ReadAll(x); err == nil || len(b) < len(want) || string(b) != (want + "only this")[:len(b)] {
						t.Errorf("read %q, %v", b, err)
					}
				} else {
					wantBroken(t, where, x, want)
				}
				wantEOF(t, "FIN had arrived", y, "all")
				if _, err := y.Write([]byte("x")); err == nil {
					t.Error("Write on a lost conn succeeded")
				}
				within(t, "ConnClosed", func() {
					if err := <-closed; err == nil {
						t.Error("ConnClosed reports a clean end")
					}
				})
			})
		}
	}
}

// GOAWAY with 0x14 from the peer ends all sessions.
func TestAdversaryPeerSendsProtocolError(t *testing.T) {
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

// After GOAWAY from the peer, no new sessions use that conn; open ones continue, and the
// conn closes after the last one.
func TestAdversaryPeerGoesAway(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.full()
	x := c.open()
	x.Write([]byte("hi"))
	p.wantData("open", 1, "hi")
	p.write(goAway(1, code.OK, "maintenance"))
	p.barrier("GOAWAY has arrived")

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
	q.wantFrame("the next session uses the next conn", open(1))

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
	if err == nil && f.is(typeGoAway) { // PROTOCOL.md does not forbid it
		f, err = p.next(typePing, typeWindow)
	}
	if err != io.EOF {
		t.Fatalf("the conn ends with its last session: %v, %v", f, err)
	}
	p.c.Close()
	q.wantIdle("the next conn is unaffected")
}

// Our GOAWAY is followed by a PING; sessions are accepted until its PONG arrives, then
// refused with 0x17. The conn closes after the last one.
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
	mark := string(p.wantType("after it", typePing).payload[1:])
	p.write(pong(be64(0))) // not the PONG for that PING
	y := s.wantNext("a session in flight", p, 7)
	z := s.wantNext("another with a lower number", p, 3)
	p.write(pong(mark), data(9, "late"))
	p.wantReset("after the barrier", 9, code.GoingAway)
	p.write(data(9, "late"), fin(9), open(11))
	p.wantReset("OPEN after the barrier", 11, code.GoingAway)
	for n, w := range map[uint16]remux.Session{5: x, 7: y, 3: z} {
		p.write(data(n, "on"))
		wantRead(t, "open sessions continue", w, "on")
		w.Write([]byte("on"))
		p.wantData("open sessions continue", n, "on")
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
	p.wantClosed("after the last session")
	p.c.Close()
	within(t, "Shutdown", func() {
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// A conn closes in this order: GOAWAY, all data, our EOF, then a wait of at most 2 s for
// the peer's EOF.
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
		t.Fatalf("received %d of %d bytes", len(got), len(all))
	}
	if !goneAway {
		p.wantLeaving("Shutdown")
	}
	p.write(fin(1))
	p.wantClosed("our direction ends")
	p.write(ping("too late"), padding()) // not an error
	select {
	case err := <-closed:
		t.Fatalf("the conn did not wait for the peer's end: %v", err)
	default:
	}
	p.c.Close()
	within(t, "ConnClosed", func() {
		if err := <-closed; err != nil {
			t.Errorf("a clean end is reported as %v", err)
		}
	})
}

// A conn waits only 2 s for a peer that does not close its end.
func TestAdversaryLinger(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	start := time.Now()
	within(t, "Shutdown", func() { s.Shutdown(context.Background()) })
	p.wantLeaving("Shutdown")
	p.wantClosed("our direction ends")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("waited %v for a peer that does not close its end", took)
	}
	if err := p.send(padding(), padding()); err == nil {
		within(t, "the peer notices", func() {
			for p.send(padding()) == nil {
			}
		})
	}
}

// EOF counts as a clean end after GOAWAY, and otherwise as the loss of the conn.
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

// GOAWAY may arrive before the dialer has opened anything, twice, and during Open.
func TestAdversaryGoAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{}, nil)
		p := c.raw()
		p.write(hello(0), goAway(0, code.OK, ""), goAway(0, code.OK, ""))
		p.wantHello()
		if f, err := p.next(typePing); err == nil && !f.is(typeGoAway) {
			t.Errorf("want EOF, got %v", f)
		}
		synctest.Wait()
		if n := remux.Conns(c.Pool); n != 0 {
			t.Errorf("the pool still has %d conns", n)
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

// Canceling Shutdown's context closes the conn and breaks its sessions.
func TestAdversaryCloseDuringShutdown(t *testing.T) {
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
		t.Errorf("Read on a broken session returned %v", err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
