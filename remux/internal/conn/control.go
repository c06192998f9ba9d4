package conn

import (
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
)

// handle processes a control frame from a full peer.
func (c *Conn) handle(f frame.Control) *code.Error {
	if frame.NamesSession(f.Type) && f.Session == 0 {
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("control frame of type %d for session 0", f.Type)}
	}
	switch f.Type {
	case frame.TypeHello:
		return c.greeted(f.Hello)
	case frame.TypeWindow:
		return c.windowed(f.Session, f.Limit)
	case frame.TypeReset:
		return c.wasReset(f.Session, &code.Error{Code: f.Code, Text: string(f.Text), Remote: true})
	case frame.TypePing:
		c.mu.Lock()
		c.keepalive.PingedLocked(f.Ping)
		c.out.wake.Signal()
		c.mu.Unlock()
	case frame.TypePong:
		c.mu.Lock()
		if c.keepalive.PongedLocked(f.Ping) {
			c.end.refuse = true
			c.closeIfDoneLocked()
		}
		c.mu.Unlock()
	case frame.TypeGoAway:
		c.mu.Lock()
		c.peer.goneAway = true
		c.wakeOpenersLocked()
		idle := len(c.table.sessions) == 0
		c.mu.Unlock()
		if idle {
			c.owner.ConnIdle(c)
		}
	case frame.TypeOpen:
		_, err := c.lookup(f.Session, 1)
		return err
	case frame.TypeJoin:
		return c.joined(f)
	case frame.TypeLeave:
		return c.left(f)
	}
	return nil
}

func (c *Conn) greeted(h frame.Hello) *code.Error {
	c.mu.Lock()
	if c.peer.kind == peerBasic { // we have been sending without a window since
		c.mu.Unlock()
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("HELLO took more than %s to arrive", helloMax)}
	}
	c.peer.spoke = true
	c.peer.kind = peerFull
	c.peer.sessMax = int(min(h.Sessions, frame.LastID))
	c.peer.maxFrame = int(min(h.Frame, frame.MaxPayload))
	c.peer.window = uint64(h.Window)
	c.peer.moves = h.Features&frame.FeatureMoves != 0
	c.peer.unheard = nil
	c.wakeOpenersLocked()
	for _, s := range c.table.sessions {
		s.sendMax = max(s.sendMax, c.peer.window)
		if s.fin == finHeld {
			s.fin = finWanted
		}
		c.readyLocked(s)
	}
	reported := c.end.reported
	c.mu.Unlock()
	if !reported {
		if err := c.joinKin(h); err != nil {
			return err
		}
		c.reportOpened(h.Conn)
	}
	c.owner.ConnGreeted()
	return nil
}

func (c *Conn) windowed(number uint16, limit uint64) *code.Error {
	s, err := c.known(number, "WINDOW")
	if s == nil {
		return err
	}
	on := s.lock()
	defer on.mu.Unlock()
	s.Accepted.Store(true)
	if limit > s.sendMax {
		s.sendMax = limit
		on.readyLocked(s)
	}
	return nil
}

// known returns the session that a frame other than data names, or nil if it has ended.
func (c *Conn) known(number uint16, frame string) (*Session, *code.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.table.sessions[number]
	if s == nil || c.table.left.Has(number) {
		return nil, c.knownLocked(number, frame)
	}
	return s, nil
}

func (c *Conn) wasReset(number uint16, why *code.Error) *code.Error {
	s, err := c.known(number, "RESET")
	if s == nil {
		return err
	}
	if why.Code == code.TargetReset && s.HoldReset(c, why) {
		return nil
	}
	s.wasReset(why)
	return nil
}

// wasReset ends the session because the peer has reset it.
func (s *Session) wasReset(why *code.Error) {
	c := s.lock()
	ended := s.ended
	if !ended {
		c.removeLocked(s, why, why)
	}
	c.mu.Unlock()
	if !ended {
		s.StopReading(why, why.Code == code.TargetReset, false)
		c.gone(s)
	}
}
