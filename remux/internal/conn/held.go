package conn

import (
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/flow"
)

// held is what has arrived for a session on the conn that it is moving to, and must not
// overtake what is still on its way on the old one. Session.mu guards it.
type held struct {
	data  flow.Buffer
	fin   bool        // the peer's FIN
	reset *code.Error // a RESET that follows data; nil if none
}

// holdAndUnlock is receive for a conn that is not the source. The caller holds mu.
func (s *Session) holdAndUnlock(c *Conn, pieces [][]byte, n int) bool {
	var why *code.Error
	switch f, h := &s.flow, &s.held; {
	case s.rclosed:
		why = &code.Error{Code: code.Cancelled}
	case s.rerr != nil, h.fin, h.reset != nil:
		why = &code.Error{Code: code.Protocol, Text: "data after the end of the session"}
	case s.move != nil && !s.move.joined:
		why = &code.Error{Code: code.Protocol, Text: "data before JOIN"}
	case f.Received+uint64(h.data.Len+n) > f.Limit:
		why = &code.Error{Code: code.FlowControl, Text: fmt.Sprintf("%d bytes sent, but only %d granted", f.Received+uint64(h.data.Len+n), f.Limit)}
	case !f.Budget.Take(n):
		why = &code.Error{Code: code.Overload, Text: "too many bytes are buffered for applications that are not reading"}
	default:
		for _, p := range pieces {
			h.data.Append(p)
		}
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	s.reset(why, false)
	return false
}

// holdReset holds a RESET that follows data if c is not the source, and reports whether
// it is held.
func (s *Session) holdReset(c *Conn, why *code.Error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == s.source {
		return false
	}
	s.held.reset = why
	s.heldEnd.Store(true)
	return true
}

// release makes c the source, now that everything has arrived from the one before, and
// processes what was held.
func (s *Session) release(c *Conn) {
	s.mu.Lock()
	s.source, s.move = c, nil
	h := s.held
	s.held = held{}
	s.heldEnd.Store(false)
	if n := h.data.Len; n > 0 {
		s.flow.Received += uint64(n)
		s.rbuf.Join(&h.data)
		s.wakeReaderLocked()
	}
	s.mu.Unlock()
	if h.fin {
		s.finished(c)
	}
	if h.reset != nil {
		s.wasReset(h.reset)
	}
}
