package conn

import (
	"errors"
	"math"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
)

// errEnded is returned by Write after a clean end.
var errEnded = errors.New("session has ended")

// errNoRoom is returned for a conn that takes no more sessions from this end.
var errNoRoom = errors.New("conn takes no more sessions")

// TryOpen begins a session from this end if the conn can take one now. The caller must
// call ReportOpened once no lock is held.
func (c *Conn) TryOpen() (*Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.takesLocked() {
		return nil, errNoRoom
	}
	return c.beginLocked(), nil
}

// beginLocked begins a session from this end; takesLocked must have returned true.
func (c *Conn) beginLocked() *Session {
	number := uint16(c.table.nextID)
	c.table.nextID += 2
	c.table.uses++
	c.table.locals++
	s := c.addLocked(number)
	s.local = true
	return s
}

// takesLocked reports whether the protocol allows this end to open another session. The
// pool applies the reuse limits.
func (c *Conn) takesLocked() bool {
	return c.end.state == open && !c.peer.goneAway && c.table.nextID <= frame.LastID && c.table.locals < c.peer.sessMax
}

func (c *Conn) addLocked(number uint16) *Session {
	s := newSession(c, number)
	s.sendMax = c.peer.window
	c.table.sessions[number] = s
	return s
}

// opened reports a session to the hooks, and also its end if it has already ended.
func (c *Conn) opened(s *Session) {
	c.cfg.Hooks.sessionOpened(s.ID())
	s.lock()
	s.reported = true
	late := s.reportLate
	s.unlock()
	if late {
		c.cfg.Hooks.sessionClosed(s.ID(), s.endErr)
	}
}

// isOurs reports whether number belongs to sessions opened by this end.
func (c *Conn) isOurs(number uint16) bool { return c.dialer == (number&1 == 1) }

// removeLocked removes s from the conn; err is passed to Hooks.SessionClosed, and Write
// returns werr. The caller must call gone once no lock is held.
func (c *Conn) removeLocked(s *Session, err, werr error) {
	s.ended, s.endErr = true, err
	if werr == nil {
		werr = errEnded
	}
	s.failWriteLocked(werr)
	c.removeEntryLocked(s, s.at.Load().Number)
	close(s.done)
}

// removeEntryLocked removes s from the table.
func (c *Conn) removeEntryLocked(s *Session, number uint16) {
	delete(c.table.sessions, number)
	if s.local {
		c.table.locals--
		c.wakeOpenersLocked()
	}
	if len(c.table.sessions) == 0 {
		c.table.idleFrom = time.Now()
	}
}

// gone completes removeLocked. c is the conn that s sent on.
func (c *Conn) gone(s *Session) {
	s.Settle()
	s.ReportEnd(s.endErr)
	s.leaveOther()

	c.mu.Lock()
	reported := s.reported
	s.reportLate = !reported
	idle := len(c.table.sessions) == 0
	c.closeIfDoneLocked()
	c.mu.Unlock()
	if reported {
		c.cfg.Hooks.sessionClosed(s.ID(), s.endErr)
	}
	if c.queue != nil && !s.local {
		c.queue.NoteEnd(s)
	}
	c.owner.SessionEnded()
	if idle {
		c.owner.ConnIdle(c)
	}
}

// readyLocked puts s in line if it has something to send.
func (c *Conn) readyLocked(s *Session) {
	if s.hasWorkLocked() && !s.stuckLocked() {
		c.out.sched.add(s)
		c.out.wake.Signal()
	}
}

// sendOpenLocked sends OPEN for a session with nothing to send yet.
func (c *Conn) sendOpenLocked(s *Session) {
	if c.peer.kind != peerBasic { // a basic peer learns of it from its first bytes
		c.out.ctrl = frame.AppendOpen(c.out.ctrl, s.at.Load().Number)
	}
	c.out.ctrl = c.openedLocked(s, c.out.ctrl)
	c.out.wake.Signal()
}

// openedLocked records that the preceding frame has opened s, and appends a WINDOW for
// the bytes granted beyond the floor.
func (c *Conn) openedLocked(s *Session, b []byte) []byte {
	s.opened.Store(true)
	if limit := s.Granted(); limit > frame.Floor && limit != math.MaxUint64 && c.peer.kind != peerBasic {
		b = frame.AppendWindow(b, s.at.Load().Number, limit)
	}
	return b
}

// finishLocked ends our direction of s, after all written bytes, unless the FIN must be
// held and the application may still read (close is false).
func (c *Conn) finishLocked(s *Session, close bool) {
	switch {
	case s.fin == finNone && !close && c.holdsFinLocked(s):
		s.fin = finHeld
	case s.fin == finNone, s.fin == finHeld && close:
		s.fin = finWanted
	}
	if !s.opened.Load() && len(s.wbuf) == 0 {
		c.sendOpenLocked(s)
	}
	c.readyLocked(s)
}

// resetLocked ends s and tells the peer. The caller must call gone once no lock is held.
func (c *Conn) resetLocked(s *Session, why *code.Error, werr error) {
	if s.opened.Load() {
		if c.peer.kind == peerUnknown && s.fin != finSent && s.sent > 0 {
			c.peer.unheard = append(c.peer.unheard, s.at.Load().Number)
		}
		c.sendResetLocked(s.at.Load().Number, why.Code, why.Text, s.fin == finSent)
	}
	c.removeLocked(s, why, werr)
}

// sendResetLocked sends RESET, or FIN to a basic peer, which supports no other way to end
// a session.
func (c *Conn) sendResetLocked(number uint16, why code.Code, text string, finished bool) {
	switch {
	case c.peer.kind != peerBasic:
		c.out.ctrl = frame.AppendEnding(c.out.ctrl, frame.TypeReset, number, why, text)
	case !finished:
		c.out.ctrl = frame.AppendHeader(c.out.ctrl, number, 0)
	}
	c.out.wake.Signal()
}

// windowDue sends a WINDOW with the session's limit now.
func (s *Session) windowDue() {
	c := s.lock()
	defer c.mu.Unlock()
	if s.ended || c.peer.kind == peerBasic {
		return
	}
	if !s.due {
		s.due = true
		c.out.due = append(c.out.due, s)
	}
	c.out.dueNow = true
	if c.keepalive.MeasureDueLocked() {
		c.pingLocked()
	}
	c.out.wake.Signal()
}
