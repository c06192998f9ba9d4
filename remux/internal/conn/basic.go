package conn

import (
	"fmt"
	"math"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/recv"
)

// A basic peer has only one way to end a session: FIN, which ends both directions. So
// when our direction ends, what we send depends on which end opened the session:
//
//   - If the peer opened it, the session has served its purpose and FIN is sent immediately.
//     Otherwise a client that reads until EOF would wait forever.
//   - If we opened it, the response has yet to arrive, and FIN would lose it. FIN is held
//     until the peer ends the session, the application closes it, or recv.BasicStall passes
//     without a response.
//
// On a plain network the peer's kind is not known at first. Until it is, FIN is held as
// for a basic peer, and resets are remembered, because a basic peer does not understand
// RESET.

// holdsFinLocked reports whether sending FIN now could lose the response.
func (c *Conn) holdsFinLocked(s *Session) bool {
	return s.local && !s.gotFin && c.peer.kind != peerFull
}

// setBasicLocked records that the peer is basic and must not be sent control frames. The
// caller must call gone for the returned sessions once no lock is held.
func (c *Conn) setBasicLocked() (ended []*Session) {
	c.peer.kind = peerBasic
	c.peer.window = math.MaxUint64
	c.keepalive.ForgetLocked()
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
		s.Basic.Store(true)
		switch {
		case s.fin == finSent:
			c.removeLocked(s, nil, nil)
			ended = append(ended, s)
		case s.opened.Load():
			c.readyLocked(s)
		}
	}
	c.closeIfDoneLocked() // a basic peer sends no PONG, so do not wait for one
	return ended
}

// endUnanswered ends sessions that have received nothing for too long after their
// application finished writing. A basic server cannot be notified of that.
func (c *Conn) endUnanswered() {
	var held []*Session
	c.mu.Lock()
	for _, s := range c.table.sessions {
		if s.at.Load().Conn == c && s.fin == finHeld && len(s.wbuf) == 0 {
			held = append(held, s)
		}
	}
	c.mu.Unlock()
	for _, s := range held {
		if s.SilentFor(c.Age()) >= recv.BasicStall {
			text := fmt.Sprintf("no response for %s after the request, from a server without half-close", recv.BasicStall)
			s.reset(&code.Error{Code: code.Idle, Text: text}, false)
		}
	}
}
