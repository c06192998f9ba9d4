package remux

import (
	"errors"
	"math"
	"time"

	"tunnels/internal/code"
)

// errEnded is what a Write gets to hear after a clean end.
var errEnded = errors.New("session has ended")

// errNoRoom: the conn takes no more sessions from this end.
var errNoRoom = errors.New("conn takes no more sessions")

// seen is the set of numbers that the peer has opened; none is used twice.
type seen struct {
	bits []uint64
	last uint16 // highest
}

func (s *seen) has(n uint16) bool {
	i := int(n >> 6)
	return i < len(s.bits) && s.bits[i]&(1<<(n&63)) != 0
}

func (s *seen) add(n uint16) {
	i := int(n >> 6)
	if i >= len(s.bits) {
		grown := make([]uint64, min(max(i+1, 2*len(s.bits)), 1<<10))
		copy(grown, s.bits)
		s.bits = grown
	}
	s.bits[i] |= 1 << (n & 63)
	s.last = max(s.last, n)
}

// open begins a session of this end. Its opener calls opened when no lock is
// held.
func (c *conn) open() (*Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.takesLocked() {
		return nil, errNoRoom
	}
	number := uint16(c.table.nextID)
	c.table.nextID += 2
	c.table.uses++
	c.table.locals++
	s := c.addLocked(number)
	s.local = true
	return s, nil
}

// takesLocked: the protocol allows this end one more session. The rules of
// reuse are the pool's.
func (c *conn) takesLocked() bool {
	return c.end.state == open && !c.peer.goneAway && c.table.nextID <= lastID && c.table.locals < c.peer.sessMax
}

func (c *conn) addLocked(number uint16) *Session {
	s := newSession(c, number)
	s.sendMax = c.peer.window
	c.table.sessions[number] = s
	return s
}

// opened tells the hooks of a session, and of its end where that came first.
func (c *conn) opened(s *Session) {
	c.cfg.Hooks.sessionOpened(s.ID())
	c.mu.Lock()
	s.told = true
	late := s.tellLate
	c.mu.Unlock()
	if late {
		c.cfg.Hooks.sessionClosed(s.ID(), s.endErr)
	}
}

// isOurs: the number is one that this end opens.
func (c *conn) isOurs(number uint16) bool { return c.dialer == (number&1 == 1) }

// removeLocked takes s out of the conn; err is what the hooks will hear, and
// werr what Write says. Whoever calls it calls gone when no lock is held.
func (c *conn) removeLocked(s *Session, err, werr error) {
	s.ended, s.endErr = true, err
	if werr == nil {
		werr = errEnded
	}
	s.failWriteLocked(werr)
	delete(c.table.sessions, s.number)
	if s.local {
		c.table.locals--
	}
	close(s.done)
	if len(c.table.sessions) == 0 {
		c.table.idleFrom = time.Now()
	}
}

// gone completes removeLocked.
func (c *conn) gone(s *Session) {
	s.mu.Lock()
	s.flow.close()
	if s.rerr != nil || s.rclosed {
		s.rdl.at(time.Time{}, readSide{s})
	}
	s.mu.Unlock()
	s.tellEnd(s.endErr)

	c.mu.Lock()
	told := s.told
	s.tellLate = !told
	idle := len(c.table.sessions) == 0
	c.closeIfDoneLocked()
	c.mu.Unlock()
	if told {
		c.cfg.Hooks.sessionClosed(s.ID(), s.endErr)
	}
	c.owner.sessionEnded(s)
	if idle {
		c.owner.connIdle(c)
	}
}

// readyLocked puts s in line if it has something to send.
func (c *conn) readyLocked(s *Session) {
	if s.hasWorkLocked() && !s.stuckLocked() {
		c.out.sched.add(s)
		c.out.wake.Signal()
	}
}

// openLocked says OPEN for a session with nothing to send yet.
func (c *conn) openLocked(s *Session) {
	if c.peer.kind != peerBasic { // which hears of it by its first bytes
		c.out.ctrl = appendOpen(c.out.ctrl, s.number)
	}
	c.out.ctrl = c.openedLocked(s, c.out.ctrl)
	c.out.wake.Signal()
}

// openedLocked notes that the frame before has opened s, and grants behind it
// what goes beyond the floor.
func (c *conn) openedLocked(s *Session, b []byte) []byte {
	s.opened.Store(true)
	if limit := s.granted.Load(); limit > floor && limit != math.MaxUint64 && c.peer.kind != peerBasic {
		b = appendWindow(b, s.number, limit)
	}
	return b
}

// finishLocked ends our direction of s, behind all that was written, unless the FIN
// has to be held and the application is not through (close).
func (c *conn) finishLocked(s *Session, close bool) {
	switch {
	case s.fin == finNone && !close && c.holdsFinLocked(s):
		s.fin = finHeld
	case s.fin == finNone, s.fin == finHeld && close:
		s.fin = finWanted
	}
	if !s.opened.Load() && len(s.wbuf) == 0 {
		c.openLocked(s)
	}
	c.readyLocked(s)
}

// resetLocked ends s and tells the peer; gone is to follow.
func (c *conn) resetLocked(s *Session, why *code.Error, werr error) {
	if s.opened.Load() {
		if c.peer.kind == peerUnknown && s.fin != finSent && s.sent > 0 {
			c.peer.unheard = append(c.peer.unheard, s.number)
		}
		c.sayResetLocked(s.number, why.Code, why.Text, s.fin == finSent)
	}
	c.removeLocked(s, why, werr)
}

// sayResetLocked sends RESET, or to a basic peer the only end it knows.
func (c *conn) sayResetLocked(number uint16, why code.Code, text string, finished bool) {
	switch {
	case c.peer.kind != peerBasic:
		c.out.ctrl = appendEnding(c.out.ctrl, typeReset, number, why, text)
	case !finished:
		c.out.ctrl = appendHeader(c.out.ctrl, number, 0)
	}
	c.out.wake.Signal()
}

// windowDue has the session's limit announced: at once, or (urgent false) with
// the next frames that go out anyway.
func (c *conn) windowDue(s *Session, urgent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ended || c.peer.kind == peerBasic {
		return
	}
	if !s.due {
		s.due = true
		c.out.due = append(c.out.due, s)
	}
	if urgent {
		c.out.dueNow = true
		c.keepalive.measureLocked(c)
		c.out.wake.Signal()
	}
}
