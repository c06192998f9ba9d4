package conn

import (
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
)

// lookup returns the session a data frame belongs to, opening it if the number is new, or
// nil if the frame must be dropped.
func (c *Conn) lookup(number uint16, length int) (*Session, *code.Error) {
	c.mu.Lock()
	if c.table.left.Has(number) {
		defer c.mu.Unlock()
		return nil, c.knownLocked(number, "data")
	}
	if s := c.table.sessions[number]; s != nil {
		c.mu.Unlock()
		return s, nil
	}
	if c.isOurs(number) && (c.dialer || c.peer.kind != peerBasic) {
		defer c.mu.Unlock()
		c.table.dropped += uint64(length)
		return nil, c.knownLocked(number, "data")
	}
	known := c.table.seen.Has(number)
	if known || length == 0 || c.end.state == closing || c.end.state == dead {
		if !known {
			c.table.seen.Add(number)
		}
		c.table.dropped += uint64(length)
		c.mu.Unlock()
		return nil, nil
	}
	s := c.acceptLocked(number)
	c.mu.Unlock()
	if s == nil {
		c.bar()
		return nil, nil
	}
	c.opened(s)
	if !c.queueUp(s) {
		s.Reset(queueFull())
		return nil, nil
	}
	return s, nil
}

// queueUp queues s, a session opened by the peer, for Accept. It returns false if there
// is no room for it.
func (c *Conn) queueUp(s *Session) bool {
	refused, ended := c.queue.Put(s, c.client)
	if ended != nil {
		ended.Close() // return its share of the budget
	}
	if refused != nil && refused != s {
		refused.Reset(queueFull())
	}
	return refused != s
}

// acceptLocked sets up a session opened by the peer, or refuses it and returns nil. A
// basic acceptor may not open sessions.
func (c *Conn) acceptLocked(number uint16) *Session {
	c.table.seen.Add(number)
	barred, most := c.barredLocked(), c.accepts
	if c.dialer && c.peer.kind == peerBasic {
		most = 0
	}
	switch {
	case barred != nil:
		c.sendResetLocked(number, code.NotAuthorised, barred.Error(), false)
		return nil
	case c.end.refuse:
		c.sendResetLocked(number, code.GoingAway, "", false)
		return nil
	case most == 0:
		c.sendResetLocked(number, code.Overload, "this conn accepts no sessions", false)
		return nil
	case len(c.table.sessions)-c.table.locals >= most:
		c.sendResetLocked(number, code.Overload, fmt.Sprintf("more than %d sessions on one conn", most), false)
		return nil
	}
	c.table.served = true
	s := c.addLocked(number)
	s.opened.Store(true)
	if c.peer.kind == peerFull && s.Granted() > frame.Floor {
		s.DelayWindow() // no other goroutine can see the session yet
		s.due = true
		c.out.due = append(c.out.due, s)
	}
	return s
}

// knownLocked returns nil for a late frame for a session that has ended, and an error if
// the session never existed.
func (c *Conn) knownLocked(number uint16, frame string) *code.Error {
	if c.table.left.Has(number) {
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("%s for session %d, which has left this conn", frame, number)}
	}
	if c.isOurs(number) && uint32(number) < c.table.nextID || c.table.seen.Has(number) {
		return nil
	}
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("%s for session %d, which was never opened", frame, number)}
}

// queueFull returns the code and text for a session refused because the queue is full.
func queueFull() (code.Code, string) {
	return code.Overload, "too many sessions are waiting to be accepted"
}
