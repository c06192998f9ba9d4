package remux_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

const (
	typeLeave = 12
	typeJoin  = 13

	oldID, newID = 0xa11ce001, 0xa11ce002
)

// leave and joins return LEAVE and JOIN for session n, which is there on the conn id.
func leave(n uint16, id uint32, there uint16) []byte {
	return control(typeLeave, be16(n)+be32(id)+be16(there))
}

func joins(n uint16, id uint32, there uint16) []byte {
	return control(typeJoin, be16(n)+be32(id)+be16(there))
}

// kin returns a peer whose HELLO permits moves, with an instance.
func (s *server) kin(id, instance uint32) *peer {
	s.Helper()
	p := s.raw()
	p.write(hello(id, 4, 2, 5, instance, 6, 1, 7, 1, 8, 1))
	p.wantHello()
	return p
}

// moving returns two conns of one client, and a session with number 1 on the old one.
func moving(t *testing.T) (s *server, from, to *peer, x remux.Session) {
	s = newServer(t, remux.Config{})
	from, to = s.kin(oldID, 7), s.kin(newID, 7)
	to.barrier("HELLO has been read")
	return s, from, to, s.wantNext("open", from, 1)
}

// TestMove follows a move at the server: what arrives on the new conn is held until LEAVE
// has arrived on the old one, and the server leaves the old conn behind its own data.
func TestMove(t *testing.T) {
	for name, leaveFirst := range map[string]bool{"JOIN first": false, "LEAVE first": true} {
		t.Run(name, func(t *testing.T) {
			_, from, to, x := moving(t)
			if leaveFirst {
				from.write(data(1, "old,"), leave(1, newID, 3))
				from.barrier("LEAVE has been read")
				x.Write([]byte("before"))
				from.wantData("sent where it was", 1, "before")
				to.write(joins(3, oldID, 1), data(3, "new"), fin(3))
			} else {
				to.write(joins(3, oldID, 1), data(3, "new"), fin(3))
				to.barrier("JOIN has been read")
				x.Write([]byte("before"))
				from.wantData("sent where it was", 1, "before")
				from.write(data(1, "old,"), leave(1, newID, 3))
			}
			from.wantFrame("the server's LEAVE", leave(1, newID, 3))
			wantEOF(t, "all in order", x, "old,new")
			x.Write([]byte("after"))
			to.wantData("sent where it is now", 3, "after")
			x.CloseWrite()
			to.wantFrame("FIN", fin(3))
			from.wantIdle("nothing more on the old conn")
		})
	}
}

// TestAdversaryMoves sends a server moves that no honest client makes.
func TestAdversaryMoves(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(from, to *peer) // a correct beginning
		onOld  []byte
		onNew  []byte
	}{
		"JOIN from an unknown conn":        {onNew: joins(3, 0xdead, 1)},
		"JOIN from its own conn":           {onNew: joins(3, newID, 1)},
		"JOIN for a session never opened":  {onNew: joins(3, oldID, 5)},
		"JOIN for an even session":         {onNew: joins(3, oldID, 2)},
		"JOIN with an even number":         {onNew: joins(2, oldID, 1)},
		"JOIN with number 0":               {onNew: joins(0, oldID, 1)},
		"a short JOIN":                     {onNew: control(typeJoin, "1234567")},
		"a long LEAVE":                     {onOld: control(typeLeave, "123456789")},
		"LEAVE to an unknown conn":         {onOld: leave(1, 0xdead, 3)},
		"LEAVE to its own conn":            {onOld: leave(1, oldID, 3)},
		"LEAVE of a session never opened":  {onOld: leave(5, newID, 3)},
		"a second JOIN":                    {before: func(_, to *peer) { to.write(joins(3, oldID, 1)) }, onNew: joins(3, oldID, 1)},
		"a second JOIN with other numbers": {before: func(_, to *peer) { to.write(joins(3, oldID, 1)) }, onNew: joins(5, oldID, 1)},
		"a second LEAVE":                   {before: func(from, _ *peer) { from.write(leave(1, newID, 3)) }, onOld: leave(1, newID, 3)},
		"LEAVE that does not match": {
			before: func(_, to *peer) { to.write(joins(3, oldID, 1)); to.barrier("JOIN has been read") }, onOld: leave(1, newID, 5),
		},
		"data behind LEAVE":   {before: func(from, _ *peer) { from.write(leave(1, newID, 3)) }, onOld: data(1, "x")},
		"FIN behind LEAVE":    {before: func(from, _ *peer) { from.write(leave(1, newID, 3)) }, onOld: fin(1)},
		"WINDOW behind LEAVE": {before: func(from, _ *peer) { from.write(leave(1, newID, 3)) }, onOld: window(1, 1<<30)},
		"RESET behind LEAVE":  {before: func(from, _ *peer) { from.write(leave(1, newID, 3)) }, onOld: reset(1, code.General, "")},
		"a number in use":     {before: func(_, to *peer) { to.write(data(3, "open")) }, onNew: joins(3, oldID, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, from, to, _ := moving(t)
			if tt.before != nil {
				tt.before(from, to)
			}
			if tt.onOld != nil {
				from.write(tt.onOld)
				from.wantProtocolError(name)
			} else {
				to.write(tt.onNew)
				to.wantProtocolError(name)
			}
		})
	}
}

// TestAdversaryMovesOthers checks that a client cannot join another one's sessions, and
// that moves do not exist on a conn that has not agreed to them.
func TestAdversaryMovesOthers(t *testing.T) {
	s, from, _, x := moving(t)
	other := s.kin(0xbad, 8)
	other.write(joins(3, oldID, 1))
	other.wantProtocolError("JOIN for another client's session")

	plain := s.full()
	plain.write(joins(3, oldID, 1), leave(3, newID, 1))
	plain.wantIdle("unknown types are ignored")

	x.Write([]byte("still here"))
	from.wantData("the session goes on", 1, "still here")
}

// TestAdversaryHeld checks that a client that sends JOIN and never LEAVE holds no more
// than the session's window, and that the loss of either conn ends the session.
func TestAdversaryHeld(t *testing.T) {
	t.Run("beyond the window", func(t *testing.T) {
		_, from, to, x := moving(t)
		to.write(joins(3, oldID, 1))
		piece := data(3, strings.Repeat("x", 60_000))
		for range 40 { // 2.4 MB, and the window is 256 KiB
			to.write(piece)
		}
		from.wantReset("more than the window", 1, code.FlowControl)
		if _, err := x.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read = %v, want an error", err)
		}
	})
	for name, cut := range map[string]func(from, to *peer){
		"the old conn is lost": func(from, _ *peer) { from.c.Close() },
		"the new conn is lost": func(_, to *peer) { to.c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			_, from, to, x := moving(t)
			to.write(joins(3, oldID, 1), data(3, "held"), fin(3))
			to.barrier("JOIN has been read")
			cut(from, to)
			_ = x.SetReadDeadline(time.Now().Add(patience))
			if b, err := io.ReadAll(x); err == nil || len(b) > 0 {
				t.Errorf("read %q and %v, want an error and nothing of what was held", b, err)
			}
		})
	}
}

// TestAdversaryMovesPool sends a client moves that it has not asked for.
func TestAdversaryMovesPool(t *testing.T) {
	for name, frame := range map[string][]byte{
		"LEAVE without a move":              leave(1, newID, 3), // ends the session first
		"LEAVE of a session never opened":   leave(5, newID, 3),
		"LEAVE of the acceptor's session 2": leave(2, newID, 3),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, remux.Config{})
			p := c.full(4, 2)
			x := c.open()
			x.Write([]byte("x"))
			p.wantData("the session", 1, "x")
			p.write(frame)
			if string(frame) == string(leave(1, newID, 3)) {
				p.wantReset(name, 1, code.Protocol)
			}
			p.wantProtocolError(name)
		})
	}
}

// TestPoolWithoutMoves checks that a pool ignores LEAVE, as an unknown type, from a server
// that does not support moves.
func TestPoolWithoutMoves(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.full()
	x := c.open()
	x.Write([]byte("x"))
	p.wantData("the session", 1, "x")
	p.write(leave(1, newID, 3), joins(3, newID, 1))
	p.wantIdle("unknown types are ignored")
	p.write(data(1, "y"))
	wantRead(t, "the session goes on", x, "y")
}
