package conn

import (
	"time"

	"tunnels/remux/internal/frame"
)

// ReuseLimits are a pool's rules of reuse.
type ReuseLimits struct {
	Count  int           // sessions a conn has had
	Age    time.Duration // its age
	Bytes  int64         // bytes it has carried, both ways
	Key    int64         // bytes after which it takes no session at all
	NewFor time.Duration // age up to which a conn on which nothing has come is new
}

// Reuse is how a conn stands to the rules of reuse.
type Reuse struct {
	Open     bool // it has not begun to end
	Spent    bool // the protocol allows no session more, now or later
	Takes    bool // the protocol and its health allow one more session
	Over     bool // beyond a limit of reuse
	Unheard  bool // new, and the server has yet to take it
	Near     bool // soon over: time to dial the successor
	Uses     int
	OverMax  int // uses up to which it serves on while its successor is being dialed
	Sessions int
	Idle     time.Duration // since the last session ended, or 0 if there are sessions
}

// Reuse returns how the conn stands to the limits.
func (c *Conn) Reuse(l *ReuseLimits, now time.Time) Reuse {
	c.mu.Lock()
	defer c.mu.Unlock()
	age, bytes := now.Sub(c.born), c.bytes.Load()
	w := Reuse{
		Open:     c.end.state == open,
		Spent:    c.peer.goneAway || c.table.nextID > frame.LastID || bytes >= l.Key,
		Over:     c.table.uses >= l.Count || age >= l.Age || bytes >= l.Bytes,
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

// Takes reports whether the conn may take one more session as far as the peer and its
// health allow, and how many it has had. Unlike Reuse, a call is not
// remembered as having passed over a suspect conn.
func (c *Conn) Takes() (takes bool, uses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takesLocked() && !c.keepalive.suspectLocked(c), c.table.uses
}

// suspectLocked reports whether the conn may be dead. If so, the owner is called when
// something is received.
func (c *Conn) suspectLocked() bool {
	if !c.keepalive.suspectLocked(c) {
		return false
	}
	c.keepalive.avoided.Store(true)
	return c.keepalive.suspectLocked(c) // something may have come before the reader saw avoided
}

// Grace renews the conn's allowance as a dial begins: a burst of twice the count
// finds room here until it ends, however worn the conn was before.
func (c *Conn) Grace(l *ReuseLimits) {
	c.mu.Lock()
	c.table.overMax = c.table.uses + 2*l.Count
	c.mu.Unlock()
}
