package conn

import (
	"fmt"
	"math"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
)

// A basic peer knows one end of a session, FIN, which ends both directions. So what
// this end says of the end of one direction depends on who opened the session:
//
//   - The peer did: its target has ended, so all that the session was for has been
//     said, and FIN goes out at once. A client that is to read until the end would
//     wait for ever.
//   - We did: the answer is still to come, and FIN would cost it. It is held until the
//     peer ends the session, the application is through, or basicStall has passed
//     with no answer.
//
// On a plain network the kind of the peer is not known at first. Until then FIN is
// held as for a basic peer, and what was reset is remembered: a basic peer has not
// understood RESET.

// holdsFinLocked reports whether FIN may cost the answer.
func (c *Conn) holdsFinLocked(s *Session) bool {
	return s.local && !s.gotFin && c.peer.kind != peerFull
}

// setBasicLocked notes that the peer is basic: it gets no WINDOW and no other control
// frame. The caller calls gone for the sessions returned once no lock is held.
func (c *Conn) setBasicLocked() (ended []*Session) {
	c.peer.kind = peerBasic
	c.peer.window = math.MaxUint64
	c.keepalive.forgetLocked()
	c.wakeOpenersLocked()
	for _, number := range c.peer.unheard {
		c.out.ctrl = frame.AppendHeader(c.out.ctrl, number, 0)
	}
	if len(c.peer.unheard) > 0 {
		c.peer.unheard = nil
		c.out.wake.Signal()
	}
	for _, s := range c.table.sessions {
		s.sendMax = math.MaxUint64
		s.basic.Store(true)
		switch {
		case s.fin == finSent:
			c.removeLocked(s, nil, nil)
			ended = append(ended, s)
		case s.opened.Load():
			c.readyLocked(s)
		}
	}
	c.closeIfDoneLocked() // no PONG comes after GOAWAY
	return ended
}

// silence is the time since which nothing has come for a session. Session.mu guards
// it.
type silence struct {
	since    time.Duration // age of the conn; 0 if it was not looked at before
	received uint64        // bytes that had come then
}

// endUnanswered ends the sessions whose application has finished, which a basic server
// cannot be told, and for which nothing has come for too long.
func (c *Conn) endUnanswered() {
	var held []*Session
	c.mu.Lock()
	for _, s := range c.table.sessions {
		if s.fin == finHeld && len(s.wbuf) == 0 {
			held = append(held, s)
		}
	}
	c.mu.Unlock()
	for _, s := range held {
		if s.silentFor(c.Age()) >= basicStall {
			text := fmt.Sprintf("finished, and no answer for %s from a server that knows no half-close", basicStall)
			s.reset(&code.Error{Code: code.Idle, Text: text}, false)
		}
	}
}

// silentFor returns for how long nothing has come, as far as earlier calls have seen.
// While the application has bytes to read, it is not the server that keeps it waiting.
func (s *Session) silentFor(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := &s.silence; q.since == 0 || q.received != s.flow.Received || s.rbuf.Len > 0 || s.lent != nil {
		q.since, q.received = now, s.flow.Received
	}
	return now - s.silence.since
}
