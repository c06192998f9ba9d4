package conn

import (
	"time"

	"tunnels/remux/internal/frame"
)

// ReuseLimits are a pool's limits on reusing a conn. Past Count or Age, a conn is worn from
// the first moment it has no sessions; until then it may go on to CountBusy and AgeBusy.
type ReuseLimits struct {
	Count     int           // sessions opened on it
	CountBusy int           // at least Count
	Age       time.Duration // since it was opened
	AgeBusy   time.Duration // at least Age
	Bytes     int64         // bytes it has carried in both directions
	Key       int64         // bytes after which it takes no more sessions
	NewFor    time.Duration // age up to which a conn that has received nothing counts as new
}

// Reuse describes how a conn stands against the reuse limits.
type Reuse struct {
	Open     bool // it has not started closing
	Spent    bool // the protocol will never allow another session
	Takes    bool // the protocol and its health allow another session
	Over     bool // past a reuse limit
	Unheard  bool // new, and nothing received from the server yet
	Near     bool // near a limit, so its successor should be dialed
	Uses     int
	OverMax  int // uses allowed while its successor is being dialed
	Sessions int
	Idle     time.Duration // time since the last session ended, or 0 if there are sessions
}

// Reuse returns how the conn stands against the limits.
func (c *Conn) Reuse(l *ReuseLimits, now time.Time) Reuse {
	c.mu.Lock()
	defer c.mu.Unlock()
	age, bytes := now.Sub(c.born), c.bytes.Load()
	if len(c.table.sessions) == 0 && (c.table.uses >= l.Count || age >= l.Age) {
		c.table.worn = true
	}
	w := Reuse{
		Open:     c.end.state == open,
		Spent:    c.peer.goneAway || c.table.nextID > frame.LastID || bytes >= l.Key,
		Over:     c.table.worn || c.table.uses >= l.CountBusy || age >= l.AgeBusy || bytes >= l.Bytes,
		Near:     c.table.uses >= (l.Count+1)/2 || age >= l.Age/4*3 || bytes >= l.Bytes/4*3,
		Uses:     c.table.uses,
		OverMax:  max(c.table.overMax, 2*l.Count),
		Sessions: len(c.table.sessions),
	}
	w.Unheard = c.peer.kind != peerBasic && !c.peer.spoke && age < l.NewFor
	w.Takes = c.takesLocked() && !w.Spent && !c.suspectLocked()
	if w.Sessions == 0 {
		w.Idle = max(now.Sub(c.table.idleFrom), 1)
	}
	return w
}

// Takes reports whether the peer and the conn's health allow another session, and how
// many this end has opened so far. Unlike Reuse, it does not mark a suspect conn as
// skipped.
func (c *Conn) Takes() (takes bool, uses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takesLocked() && !c.keepalive.SuspectLocked(), c.table.uses
}

// suspectLocked reports whether the conn may be dead. If so, the owner is called when
// something is received.
func (c *Conn) suspectLocked() bool {
	if !c.keepalive.SuspectLocked() {
		return false
	}
	c.keepalive.Avoid()
	return c.keepalive.SuspectLocked() // check again: the reader may have received something before avoided was set
}

// Grace renews the conn's allowance when a dial begins: until the dial completes, the
// conn has room for a burst of twice the count, however worn it is.
func (c *Conn) Grace(l *ReuseLimits) {
	c.mu.Lock()
	c.table.overMax = c.table.uses + 2*l.Count
	c.mu.Unlock()
}
