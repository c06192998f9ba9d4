package conn

import (
	"io"
	"os"
	"time"
)

// Write sends p. It returns once all of p has been handed to the conn; the peer need not
// have received it.
func (s *Session) Write(p []byte) (int, error) {
	s.lock()
	defer s.unlock()
	for s.wbusy && s.canWriteLocked() == nil {
		s.wcond.Wait()
	}
	if err := s.canWriteLocked(); err != nil || len(p) == 0 {
		return 0, err
	}
	c := s.at.Load().Conn
	if c.gatherLocked(s, p) {
		return len(p), nil
	}
	s.wbusy, s.wbuf = true, p
	for c.lockWriteNowLocked(s) {
		b := c.takeBatchLocked()
		c.mu.Unlock()
		sent := c.writeNow(b)
		c.mu.Lock()
		c.unlockWriteNowLocked(sent)
		if s.at.Load().Conn != c { // moved in the meantime
			c.passWriteLocked()
			c.mu.Unlock()
			c = s.lock()
		}
	}
	c.passWriteLocked()
	c.readyLocked(s)
	for len(s.wbuf) > 0 && s.werr == nil && !s.wdl.Expired {
		s.wcond.Wait()
	}
	n := len(p) - len(s.wbuf)
	s.wbusy, s.wbuf = false, nil
	s.at.Load().Conn.readyLocked(s) // CloseWrite may have been waiting for these bytes
	s.wcond.Broadcast()
	if n == len(p) {
		return n, nil
	}
	if s.werr != nil {
		return n, s.werr
	}
	return n, os.ErrDeadlineExceeded
}

func (s *Session) canWriteLocked() error {
	switch {
	case s.werr != nil:
		return s.werr
	case s.fin != finNone:
		return io.ErrClosedPipe
	case s.wdl.Expired:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// failWriteLocked makes Write return err. conn.mu must be held.
func (s *Session) failWriteLocked(err error) {
	if s.werr == nil {
		s.werr = err
	}
	s.wdl.At(time.Time{}, writeSide{s})
	s.wcond.Broadcast()
}

// SetDeadline sets both deadlines; see net.Conn.
func (s *Session) SetDeadline(t time.Time) error {
	err := s.SetReadDeadline(t)
	if werr := s.SetWriteDeadline(t); err == nil {
		err = werr
	}
	return err
}

// SetWriteDeadline sets the time after which Write fails; the zero time means never. An
// interrupted Write returns how many bytes it has handed to the conn, and the session
// remains usable.
func (s *Session) SetWriteDeadline(t time.Time) error {
	s.lock()
	defer s.unlock()
	if s.werr != nil {
		return s.werr
	}
	s.wdl.At(t, writeSide{s})
	return nil
}

// writeSide implements timing.Side for the writing direction of a session.
type writeSide struct{ *Session }

// Lock implements timing.Side.
func (s writeSide) Lock() { s.lock() }

// Unlock implements timing.Side.
func (s writeSide) Unlock() { s.unlock() }

// WakeLocked implements timing.Side.
func (s writeSide) WakeLocked() { s.wcond.Broadcast() }
