package conn

import (
	"io"
	"net"

	"tunnels/internal/code"
)

// CloseWrite ends the writing direction: the peer reads io.EOF after the data written so
// far. Reading continues.
func (s *Session) CloseWrite() error {
	c := s.lock()
	defer c.mu.Unlock()
	if s.werr != nil {
		return s.werr
	}
	c.finishLocked(s, false)
	return nil
}

// Close ends the session. The end is clean if the peer has finished or sends nothing
// more. If there are unread bytes from the peer, or a Write is waiting, the session is
// reset with code.Cancelled.
func (s *Session) Close() error {
	unread, ok := s.DropUnread()
	if !ok {
		return net.ErrClosed
	}
	c := s.lock()
	switch {
	case s.ended:
		s.werr = net.ErrClosed
	case !s.opened.Load() && len(s.wbuf) == 0: // the peer does not know about it and need not
		c.removeLocked(s, nil, net.ErrClosed)
		defer c.gone(s)
	case (unread > 0 && !s.gotFin) || len(s.wbuf) > 0:
		c.resetLocked(s, &code.Error{Code: code.Cancelled}, net.ErrClosed)
		defer c.gone(s)
	default:
		c.finishLocked(s, true)
		s.failWriteLocked(net.ErrClosed)
	}
	c.mu.Unlock()
	return nil
}

// Reset implements remux.Session.
func (s *Session) Reset(c code.Code, text string) error {
	s.reset(&code.Error{Code: c, Text: text}, true)
	return nil
}

// reset ends the session with the given reason. With force, it also discards the received
// bytes of a peer that has already finished.
func (s *Session) reset(why *code.Error, force bool) {
	c := s.lock()
	ended := s.ended
	if !ended {
		c.resetLocked(s, why, why)
	}
	c.mu.Unlock()
	s.StopReading(why, false, force)
	if !ended {
		c.gone(s)
	}
}

// finished handles the peer's FIN on conn from.
func (s *Session) finished(from *Conn) {
	if !s.Finish(from) {
		return
	}
	c := s.lock()
	s.gotFin = true
	if c.peer.kind == peerBasic && s.fin != finSent { // its FIN ends the session
		s.fin = finWanted
		s.failWriteLocked(io.ErrClosedPipe)
		c.readyLocked(s)
	}
	ended := s.fin == finSent && !s.ended
	if ended {
		c.removeLocked(s, nil, nil)
	}
	c.mu.Unlock()
	if ended {
		c.gone(s)
	}
}
