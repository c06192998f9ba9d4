package remux

import (
	"time"

	"tunnels/remux/internal/frame"
)

// reuseLimits are a pool's rules of reuse.
type reuseLimits struct {
	count int           // sessions a conn has had
	age   time.Duration // its age
	bytes int64         // bytes it has carried, both ways
	key   int64         // bytes after which it takes no session at all
	isNew time.Duration // age up to which a conn on which nothing has come is new
}

// reuse is how a conn stands to the rules of reuse.
type reuse struct {
	open     bool // it has not begun to end
	spent    bool // the protocol allows no session more, now or later
	takes    bool // the protocol and its health allow one more session
	over     bool // beyond a limit of reuse
	unheard  bool // new, and the server has yet to take it
	near     bool // soon over: time to dial the successor
	uses     int
	overMax  int // uses up to which it serves on while its successor is being dialed
	sessions int
	idle     time.Duration // since the last session ended, or 0 if there are sessions
}

// reuse returns how the conn stands to the limits.
func (c *Conn) reuse(l *reuseLimits, now time.Time) reuse {
	c.mu.Lock()
	defer c.mu.Unlock()
	age, bytes := now.Sub(c.born), c.bytes.Load()
	w := reuse{
		open:     c.end.state == open,
		spent:    c.peer.goneAway || c.table.nextID > frame.LastID || bytes >= l.key,
		over:     c.table.uses >= l.count || age >= l.age || bytes >= l.bytes,
		near:     c.table.uses >= (l.count+1)/2 || age >= l.age/4*3 || bytes >= l.bytes/4*3,
		uses:     c.table.uses,
		overMax:  max(c.table.overMax, 2*l.count),
		sessions: len(c.table.sessions),
	}
	w.unheard = c.peer.kind != peerBasic && !c.peer.spoke && age < l.isNew
	w.takes = c.takesLocked() && !w.spent && !c.suspectLocked()
	if w.sessions == 0 {
		w.idle = max(now.Sub(c.table.idleFrom), 1)
	}
	return w
}

// takes reports whether the conn may take one more session as far as the peer and its
// health allow, and how many it has had. Unlike reuse it does not count as passing the
// conn over.
func (c *Conn) takes() (takes bool, uses int) {
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

// grace renews the conn's allowance as a dial begins: a burst of twice the count
// finds room here until it ends, however worn the conn was before.
func (c *Conn) grace(l *reuseLimits) {
	c.mu.Lock()
	c.table.overMax = c.table.uses + 2*l.count
	c.mu.Unlock()
}
