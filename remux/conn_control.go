package remux

import (
	"fmt"

	"tunnels/internal/code"
)

// handle acts on a control frame of a full peer.
func (c *Conn) handle(f control) *code.Error {
	if names := f.typ == typeWindow || f.typ == typeReset || f.typ == typeOpen; names && f.session == 0 {
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("control frame of type %d for session 0", f.typ)}
	}
	switch f.typ {
	case typeHello:
		return c.greeted(f.hello)
	case typeWindow:
		return c.windowed(f.session, f.limit)
	case typeReset:
		return c.wasReset(f.session, &code.Error{Code: f.code, Text: string(f.text), Remote: true})
	case typePing:
		c.mu.Lock()
		c.keepalive.pingedLocked(c, f.ping)
		c.mu.Unlock()
	case typePong:
		c.mu.Lock()
		if c.keepalive.pongedLocked(c, f.ping) {
			c.end.refuse = true
			c.closeIfDoneLocked()
		}
		c.mu.Unlock()
	case typeGoAway:
		c.mu.Lock()
		c.peer.goneAway = true
		c.wakeOpenersLocked()
		idle := len(c.table.sessions) == 0
		c.mu.Unlock()
		if idle {
			c.owner.connIdle(c)
		}
	case typeOpen:
		_, err := c.lookup(f.session, 1)
		return err
	}
	return nil
}

func (c *Conn) greeted(h hello) *code.Error {
	c.mu.Lock()
	if c.peer.kind == peerBasic { // we have sent beyond any window since
		c.mu.Unlock()
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("HELLO came later than %s", helloMax)}
	}
	c.peer.spoke = true
	c.peer.kind = peerFull
	c.peer.sessMax = int(min(h.sessions, lastID))
	c.peer.maxFrame = int(min(h.frame, maxPayload))
	c.peer.window = uint64(h.window)
	c.peer.unheard = nil
	c.wakeOpenersLocked()
	for _, s := range c.table.sessions {
		s.sendMax = max(s.sendMax, c.peer.window)
		if s.fin == finHeld {
			s.fin = finWanted
		}
		c.readyLocked(s)
	}
	told := c.end.told
	c.mu.Unlock()
	if !told {
		c.tellOpened(h.conn)
	}
	c.owner.connGreeted()
	return nil
}

func (c *Conn) windowed(number uint16, limit uint64) *code.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.table.sessions[number]
	if s == nil {
		return c.knownLocked(number, "WINDOW")
	}
	if limit > s.sendMax {
		s.sendMax = limit
		c.readyLocked(s)
	}
	return nil
}

func (c *Conn) wasReset(number uint16, why *code.Error) *code.Error {
	c.mu.Lock()
	s := c.table.sessions[number]
	if s == nil {
		defer c.mu.Unlock()
		return c.knownLocked(number, "RESET")
	}
	c.removeLocked(s, why, why)
	c.mu.Unlock()
	s.stopReading(why, why.Code == code.TargetReset, false)
	c.gone(s)
	return nil
}
