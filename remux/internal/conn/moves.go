package conn

import (
	"errors"
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/kin"
	"tunnels/remux/internal/recv"
)

// A session can move to another conn of the same client while it is running. The dialer
// sends JOIN on the new conn and LEAVE on the old one, and sends on the new one from then
// on. When both have arrived, the acceptor sends its own LEAVE on the old conn and
// continues on the new one too. Each LEAVE follows all that its sender has sent on the
// old conn; until it has arrived, what arrives on the new conn is held.

// seat is a session's place on a conn.
type seat = recv.Seat[*Conn]

// lock locks the conn that the session sends on, and returns it.
func (s *Session) lock() *Conn {
	for {
		c := s.at.Load().Conn
		c.mu.Lock()
		if s.at.Load().Conn == c {
			return c
		}
		c.mu.Unlock()
	}
}

// unlock releases the lock taken by lock.
func (s *Session) unlock() { s.at.Load().Conn.mu.Unlock() }

// lockBoth locks two conns of one client, always in the same order. Their ids differ.
func lockBoth(a, b *Conn) (unlock func()) {
	if a.id.Load() > b.id.Load() {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		a.mu.Unlock()
	}
}

// MoveTo moves a session that this end has opened to another conn of the same pool. It
// reports whether the move has begun; the session works on meanwhile. It has not if the
// session is moving already or has ended, if nothing has arrived for it yet, or if the peer
// does not support moves or has not answered the other conn's first PING.
func (s *Session) MoveTo(to *Conn) bool {
	from := s.at.Load().Conn
	if from.id.Load() == to.id.Load() || from.cfg != to.cfg {
		return false
	}
	defer lockBoth(from, to)()
	old := s.at.Load()
	if old.Conn != from || !s.movableLocked(from, to) {
		return false
	}
	next := &seat{Conn: to, Number: uint16(to.table.nextID)}
	to.table.nextID += 2
	to.table.locals++
	to.table.sessions[next.Number] = s
	to.out.ctrl = frame.AppendMove(to.out.ctrl, frame.TypeJoin, next.Number, from.id.Load(), old.Number)
	to.out.wake.Signal()
	s.from = old
	s.switchLocked(old, next)
	return true
}

func (s *Session) movableLocked(from, to *Conn) bool {
	return s.local && !s.ended && s.Accepted.Load() && s.from == nil &&
		(from.end.state == open || from.end.state == draining) && from.agreedLocked() &&
		to.agreedLocked() && to.takesLocked() && to.keepalive.RTT() != 0 // the PONG shows that the peer has our HELLO
}

// agreedLocked reports whether both ends of a dialed conn support moves.
func (c *Conn) agreedLocked() bool { return c.dialer && c.peer.moves && c.cfg.features(true) != 0 }

// switchLocked makes s send on another conn from now on. The mu of both must be held.
func (s *Session) switchLocked(old, next *seat) {
	from, to := old.Conn, next.Conn
	from.out.ctrl = frame.AppendMove(from.out.ctrl, frame.TypeLeave, old.Number, to.id.Load(), next.Number)
	from.out.wake.Signal()
	from.out.sched.remove(s)
	s.gathered = 0
	s.at.Store(next)
	if s.due { // the old conn skips it from now on
		to.out.due = append(to.out.due, s)
		to.out.dueNow = true
		to.out.wake.Signal()
	}
	to.readyLocked(s)
}

// joined handles JOIN.
func (c *Conn) joined(f frame.Control) *code.Error {
	if !c.kinned {
		return nil // not agreed, so the type is unknown
	}
	to := seat{Conn: c, Number: f.Session}
	conn, found, ended := c.cfg.Kin.Find(c.kin, f.Conn)
	switch {
	case !found && ended:
		return c.refuseJoin(f.Session)
	case !found || conn == c || c.isOurs(f.Session):
		return badMove("JOIN", f)
	}
	s, used := c.expected(f.Session)
	if s == nil && !used {
		var known, left, lost bool
		conn.mu.Lock()
		s = conn.table.sessions[f.There]
		left = conn.table.left.Has(f.There)
		known, lost = conn.knownLocked(f.There, "JOIN") == nil, conn.end.state == dead
		conn.mu.Unlock()
		if left { // perhaps only since expected was called
			s, used = c.expected(f.Session)
		}
		switch {
		case left && s == nil && !used, !left && s == nil && !known:
			return badMove("JOIN", f)
		case s == nil && !used && lost:
			return c.refuseJoin(f.Session)
		}
	}
	if s == nil && used {
		return nil // LEAVE has arrived, and the session has ended since
	}
	return s.moves(seat{Conn: conn, Number: f.There}, to, false, badMove("JOIN", f))
}

// left handles LEAVE.
func (c *Conn) left(f frame.Control) *code.Error {
	if !c.kinned && !c.agreedLocked() { // only the reader, which runs this, changes what agreedLocked reads
		return nil // not agreed, so the type is unknown
	}
	if c.dialer != c.isOurs(f.Session) {
		return badMove("LEAVE", f)
	}
	c.mu.Lock()
	s, why := c.table.sessions[f.Session], c.knownLocked(f.Session, "LEAVE")
	if s != nil && c.dialer {
		c.removeEntryLocked(s, f.Session)
		c.table.left.Add(f.Session)
	}
	c.mu.Unlock()
	switch {
	case why != nil:
		return why
	case c.dialer:
		return c.followed(s, f)
	}
	conn, found, ended := c.cfg.Kin.Find(c.kin, f.Conn)
	if !found && !ended || conn == c || found && conn.isOurs(f.There) {
		return badMove("LEAVE", f)
	}
	lost := &code.Error{Code: code.General, Text: fmt.Sprintf("conn %08x, where it was moving, has been lost", f.Conn)}
	if found {
		// The number is reserved before left is set, so that JOIN, which another goroutine
		// may be handling, finds one or the other.
		why = conn.reserve(s, f.There)
	}
	c.mu.Lock()
	c.table.left.Add(f.Session)
	c.mu.Unlock()
	switch {
	case s == nil, s.isOver(): // ended; reserve fails if JOIN has arrived
	case s.completeHeld(f):
	case !found || why != nil && why.Code != code.Protocol:
		s.reset(lost, false)
	case why != nil:
		return badMove("LEAVE", f)
	default:
		return s.moves(seat{Conn: c, Number: f.Session}, seat{Conn: conn, Number: f.There}, true, badMove("LEAVE", f))
	}
	return nil
}

// badMove returns the error for a JOIN or LEAVE that the peer must not send.
func badMove(name string, f frame.Control) *code.Error {
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("%s for session %d, with session %d of conn %08x, which is no move of this client", name, f.Session, f.There, f.Conn)}
}

// refuseJoin answers JOIN for a session that was lost with its conn.
func (c *Conn) refuseJoin(number uint16) *code.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.table.seen.Has(number) {
		c.table.seen.Add(number)
		c.sendResetLocked(number, code.General, "the conn that it was on has been lost", false)
	}
	return nil
}

// expected returns the session that LEAVE on another conn has announced under a number of
// this one, and whether the number has been used.
func (c *Conn) expected(number uint16) (s *Session, used bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.sessions[number], c.table.seen.Has(number)
}

// moves records that one of the two frames of a move has arrived at the acceptor: LEAVE,
// or JOIN. If the other one has too, it completes the move. s is nil if the session has
// ended. Bad is the error for frames that do not belong together.
func (s *Session) moves(from, to seat, leave bool, bad *code.Error) *code.Error {
	if why := to.Conn.reserve(s, to.Number); why != nil {
		switch {
		case s == nil, s.isOver(): // LEAVE has arrived too
			return nil
		case why.Code == code.Protocol:
			return bad
		}
		s.reset(why, false)
		return nil
	}
	if s == nil {
		return nil
	}
	switch s.NoteMove(from, to, leave) {
	case recv.MoveComplete:
		s.complete(from, to)
	case recv.MoveOver:
		to.Conn.forget(s, to.Number)
	case recv.MoveStray:
		to.Conn.forget(s, to.Number)
		return bad
	case recv.MoveBad:
		return bad
	}
	return nil
}

// isOver reports whether the session, which may be nil, has ended.
func (s *Session) isOver() bool {
	return s != nil && s.IsOver()
}

// reserve puts s, which may be nil if it has ended, on this conn under a number. It
// returns an error with code.Protocol if the number is not free, or another error if the
// conn is ending.
func (c *Conn) reserve(s *Session, number uint16) *code.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s != nil && c.table.sessions[number] == s:
		return nil
	case c.end.state == closing || c.end.state == dead:
		c.table.seen.Add(number)
		return &code.Error{Code: code.General, Text: fmt.Sprintf("conn %s, where it was moving, has been lost", c.connID())}
	case c.table.seen.Has(number), len(c.table.sessions)-c.table.locals >= c.accepts:
		return &code.Error{Code: code.Protocol}
	}
	c.table.seen.Add(number)
	if s == nil {
		return nil
	}
	c.table.served = true
	c.table.sessions[number] = s
	return nil
}

// complete moves the acceptor's direction of s, for which JOIN and LEAVE have arrived. It
// sends LEAVE last, because the dialer may move the session again once it has arrived.
func (s *Session) complete(from, to seat) {
	s.release(to.Conn)
	unlock := lockBoth(from.Conn, to.Conn)
	if s.ended {
		unlock()
		to.Conn.forget(s, to.Number)
		return
	}
	if to.Conn.end.state == dead {
		unlock()
		s.reset(&code.Error{Code: code.General, Text: fmt.Sprintf("conn %s, where it was moving, has been lost", to.Conn.connID())}, false)
		return
	}
	s.switchLocked(s.at.Load(), &to)
	from.Conn.removeEntryLocked(s, from.Number)
	from.Conn.closeIfDoneLocked()
	unlock()
	from.Conn.roomLeft()
}

// completeHeld completes a move for which LEAVE has arrived, if the session has come to
// its end on the new conn and that has been closed since.
func (s *Session) completeHeld(f frame.Control) bool {
	m, ok := s.JoinedMove()
	if !ok || m.To.Conn.id.Load() != f.Conn || m.To.Number != f.There {
		return false
	}
	s.complete(m.From, m.To)
	return true
}

// release makes c the conn that s receives on, now that everything has arrived from the
// one before, and processes what was held.
func (s *Session) release(c *Conn) {
	fin, reset := s.Release(c)
	if fin {
		s.finished(c)
	}
	if reset != nil {
		s.wasReset(reset)
	}
}

// followed handles the acceptor's LEAVE, which completes a move that this end began. s is
// nil if the session has ended.
func (c *Conn) followed(s *Session, f frame.Control) *code.Error {
	if s != nil {
		s.lock()
		at, from := *s.at.Load(), s.from
		s.unlock()
		if from == nil || *from != (seat{Conn: c, Number: f.Session}) || at.Conn.id.Load() != f.Conn || at.Number != f.There {
			why := badMove("LEAVE", f)
			s.reset(why, false)
			return why
		}
		s.release(at.Conn)
		s.lock()
		if !s.ended {
			s.from = nil // it may move again
		}
		s.unlock()
	}
	c.mu.Lock()
	c.closeIfDoneLocked()
	c.mu.Unlock()
	c.roomLeft()
	return nil
}

// roomLeft reports to the owner that a session has left the conn.
func (c *Conn) roomLeft() {
	c.mu.Lock()
	idle := len(c.table.sessions) == 0
	c.mu.Unlock()
	c.owner.SessionEnded()
	if idle {
		c.owner.ConnIdle(c)
	}
}

// forget removes a session that has moved away, or has ended elsewhere, from the table.
func (c *Conn) forget(s *Session, number uint16) {
	c.mu.Lock()
	if c.table.sessions[number] != s {
		c.mu.Unlock()
		return
	}
	c.removeEntryLocked(s, number)
	c.closeIfDoneLocked()
	c.mu.Unlock()
	c.roomLeft()
}

// leaveOther removes a session that has ended from the second conn it is on if it ended
// while it was moving.
func (s *Session) leaveOther() {
	m := s.TakeMove()
	if s.from != nil { // no longer changes
		s.from.Conn.forget(s, s.from.Number)
	}
	if m == nil {
		return
	}
	if _, coded := errors.AsType[*code.Error](s.endErr); s.endErr != nil && !coded && m.Joined {
		// Its conn was lost, so the peer has not been told.
		m.To.Conn.mu.Lock()
		m.To.Conn.sendResetLocked(m.To.Number, code.General, s.endErr.Error(), false)
		m.To.Conn.mu.Unlock()
	}
	m.To.Conn.forget(s, m.To.Number)
}

// lost ends a session that was moving when another conn than the one it sends on was
// lost.
func (s *Session) lost(err error) {
	c := s.lock()
	ended := s.ended
	if !ended {
		c.resetLocked(s, &code.Error{Code: code.General, Text: err.Error()}, err)
	}
	c.mu.Unlock()
	if !ended {
		s.StopReading(err, true, false)
		c.gone(s)
	}
}

// joinKin records an accepted conn whose HELLO names the client process it belongs to.
func (c *Conn) joinKin(h frame.Hello) *code.Error {
	if c.dialer || c.cfg.Kin == nil || h.Features&frame.FeatureMoves == 0 || h.Instance == (frame.Instance{}) {
		return nil
	}
	c.id.Store(h.Conn)
	c.kin = kin.Name{Client: c.client, Instance: h.Instance}
	if !c.cfg.Kin.Add(c.kin, h.Conn, c) {
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("conn id %08x is in use", h.Conn)}
	}
	c.kinned = true
	return nil
}

// leaveKin reverts joinKin.
func (c *Conn) leaveKin() {
	if c.kinned {
		c.cfg.Kin.Remove(c.kin, c.id.Load())
	}
}
