package remux_test

import (
	"io"
	"testing"

	"tunnels/internal/code"
	"tunnels/remux"
)

// These tests cover how sessions opened by the acceptor end, and how their conn does.

// byAcceptor returns the two ends of a session opened by the acceptor: the acceptor's and
// the dialer's.
func byAcceptor(t *testing.T) (near, far *remux.Conn, theirs, ours remux.Session) {
	t.Helper()
	near, far = connPair(t, remux.Config{}, remux.Config{})
	theirs = mustOpen(t, far)
	io.WriteString(theirs, "hello")
	ours = mustAccept(t, near)
	wantRead(t, "the first bytes", ours, "hello")
	return near, far, theirs, ours
}

// TestAcceptorHalfClose checks that the two directions of a session opened by the
// acceptor end independently.
func TestAcceptorHalfClose(t *testing.T) {
	for _, first := range []string{"opener", "other"} {
		t.Run(first, func(t *testing.T) {
			_, _, a, b := byAcceptor(t)
			if first == "other" {
				a, b = b, a
			}
			if err := a.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantEOF(t, "one direction ends", b, "")
			io.WriteString(b, "still open")
			wantRead(t, "the other one continues", a, "still open")
			b.CloseWrite()
			wantEOF(t, "and ends", a, "")
			within(t, "Done", func() { <-a.Done(); <-b.Done() })
		})
	}
}

// TestAcceptorReset checks that either end may reset such a session, with a reason.
func TestAcceptorReset(t *testing.T) {
	for _, first := range []string{"opener", "other"} {
		t.Run(first, func(t *testing.T) {
			near, far, a, b := byAcceptor(t)
			if first == "other" {
				a, b = b, a
			}
			a.Reset(code.Refused, "connection refused")
			wantCode(t, "reset", b, "", code.Refused)
			within(t, "Done", func() { <-a.Done(); <-b.Done() })
			mustOpen(t, near)
			mustOpen(t, far)
		})
	}
}

// TestGoAwayEitherEnd checks that after GOAWAY from either end, neither opens sessions;
// open ones continue, and the conn closes cleanly after the last one.
func TestGoAwayEitherEnd(t *testing.T) {
	for _, says := range []string{"dialer", "acceptor", "both"} {
		t.Run(says, func(t *testing.T) {
			near, far, theirs, ours := byAcceptor(t)
			own := mustOpen(t, near)
			io.WriteString(own, "x")
			other := mustAccept(t, far)
			wantRead(t, "the first bytes", other, "x")
			if says != "acceptor" {
				near.GoAway(code.OK, "")
			}
			if says != "dialer" {
				far.GoAway(code.GoingAway, "being stopped")
			}
			for from, to := range map[remux.Session]remux.Session{theirs: ours, ours: theirs, other: own} {
				io.WriteString(from, "go on")
				wantRead(t, "a session continues", to, "go on")
			}
			mustNotOpen(t, "after GOAWAY", near)
			mustNotOpen(t, "after GOAWAY", far)
			for _, s := range []remux.Session{theirs, ours, own, other} {
				select {
				case <-near.Done():
					t.Fatal("the conn closed with sessions open")
				default:
				}
				s.CloseWrite()
			}
			within(t, "both conns end", func() { <-near.Done(); <-far.Done() })
			for _, c := range []*remux.Conn{near, far} {
				if s, err := c.Accept(); err == nil {
					t.Errorf("Accept on a closed conn returned %v", s)
				}
				mustNotOpen(t, "a closed conn", c)
			}
		})
	}
}

// TestGoAwayInFlight checks that either end still serves sessions that the peer opens
// before it reads GOAWAY, and refuses those that it opens after its PONG.
func TestGoAwayInFlight(t *testing.T) {
	for _, dialed := range []bool{true, false} {
		c, p := connAndPeer(t, remux.Config{}, dialed, true)
		p.wantHello()
		p.barrier("HELLO is read")
		p.silent.Store(true)
		first := uint16(1)
		if dialed {
			first = 2
		}
		c.GoAway(code.OK, "")
		if last := p.wantLeaving("GoAway"); last != 0 {
			t.Errorf("GOAWAY names %d as the last session", last)
		}
		probe := p.wantType("after GOAWAY", typePing)
		p.write(data(first, "on the way"))
		s := mustAccept(t, c)
		wantRead(t, "it is served", s, "on the way")
		p.write(pong(string(probe.payload[1:])), data(first+2, "too late"))
		p.wantReset("after the PONG", first+2, code.GoingAway)
		p.write(fin(first))
		s.CloseWrite()
		p.wantFrame("the session ends", fin(first))
		p.wantClosed("and so does the conn")
	}
}

// TestLossBothEnds checks that the loss of a conn breaks sessions opened by either end,
// and that Open and Accept then return errors.
func TestLossBothEnds(t *testing.T) {
	near, far, theirs, ours := byAcceptor(t)
	own := mustOpen(t, near)
	io.WriteString(own, "x")
	mustAccept(t, far)
	near.Close()
	wantBroken(t, "the acceptor's", theirs, "")
	if _, err := io.ReadAll(ours); err == nil {
		t.Error("the dialer's end of a session ended cleanly although its conn was lost")
	}
	within(t, "Done", func() { <-near.Done(); <-far.Done() })
	for _, c := range []*remux.Conn{near, far} {
		if _, err := c.Accept(); err == nil {
			t.Error("Accept succeeded on a lost conn")
		}
		mustNotOpen(t, "a lost conn", c)
	}
}
