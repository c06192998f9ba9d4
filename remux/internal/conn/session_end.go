package conn

import (
	"io"
	"net"
	"time"

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
	s.mu.Lock()
	if s.rclosed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.rclosed = true
	unread := s.rbuf.Discard() + s.held.data.Discard()
	s.flow.Budget.Free(unread)
	s.rdl.At(time.Time{}, readSide{s})
	s.wakeReaderLocked()
	s.mu.Unlock()

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
	s.stopReading(why, false, force)
	if !ended {
		c.gone(s)
	}
}

// stopReading makes Read return err: after the buffered bytes if keep is true, else
// immediately. If the peer has finished, all its bytes have arrived and can still be
// read, unless our own application discards them (force).
func (s *Session) stopReading(err error, keep, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rerr != nil && !force {
		return
	}
	s.flow.Budget.Free(s.held.data.Discard())
	if !keep {
		s.flow.Budget.Free(s.rbuf.Discard())
	}
	s.rerr, s.kept = err, keep
	s.wakeReaderLocked()
}

// OnEnd arranges for f to be called once, when nothing more written to the session can be
// delivered, so that a caller that is neither reading nor writing learns that the session
// has ended. err is nil after a clean end; whole reports whether all the peer's data and
// its FIN have arrived. Bytes that have arrived can still be read, unless the session was
// reset. f must not block. If the session is already over, OnEnd calls f itself. It
// always returns true.
func (s *Session) OnEnd(f func(err error, whole bool)) bool {
	s.mu.Lock()
	if !s.over {
		s.onEnd = f
		s.mu.Unlock()
		return true
	}
	err, whole := s.overErr, s.rerr == io.EOF
	s.mu.Unlock()
	f(err, whole)
	return true
}

// reportEnd calls the function passed to OnEnd, once.
func (s *Session) reportEnd(err error) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over, s.overErr = true, err
	if err == nil && s.rerr == nil { // a basic peer, which need not answer our FIN with its own
		s.rerr, s.kept = io.EOF, true
		s.wakeReaderLocked()
	}
	f, whole := s.onEnd, s.rerr == io.EOF
	s.onEnd = nil
	s.mu.Unlock()
	if f != nil {
		f(err, whole)
	}
}
