package remux

import (
	"time"

	"tunnels/remux/internal/frame"
)

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

// keyMax is how many bytes a conn may carry, unless the configuration allows more, and
// still take a session: crypto/tls never changes the keys of a connection by itself.
const keyMax = 64 << 30

// reuse applies the pool's rules to the conn.
func (c *Conn) reuse(cfg *Config, now time.Time) reuse {
	c.mu.Lock()
	defer c.mu.Unlock()
	age, bytes := now.Sub(c.born), c.bytes.Load()
	w := reuse{
		open:     c.end.state == open,
		spent:    c.peer.goneAway || c.table.nextID > frame.LastID || bytes >= max(cfg.ReuseMaxBytes, keyMax),
		over:     c.table.uses >= cfg.ReuseMaxCount || age >= cfg.ReuseMaxAge || bytes >= cfg.ReuseMaxBytes,
		near:     c.table.uses >= (cfg.ReuseMaxCount+1)/2 || age >= cfg.ReuseMaxAge/4*3 || bytes >= cfg.ReuseMaxBytes/4*3,
		uses:     c.table.uses,
		overMax:  max(c.table.overMax, 2*cfg.ReuseMaxCount),
		sessions: len(c.table.sessions),
	}
	w.unheard = c.peer.kind != peerBasic && !c.peer.spoke && age < slowDial
	w.takes = c.takesLocked() && !w.spent && !c.suspectLocked()
	if w.sessions == 0 {
		w.idle = max(now.Sub(c.table.idleFrom), 1)
	}
	return w
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
func (c *Conn) grace(cfg *Config) {
	c.mu.Lock()
	c.table.overMax = c.table.uses + 2*cfg.ReuseMaxCount
	c.mu.Unlock()
}

// rearmLocked sets the timer for the next conn that will be idle for too long
// or near its end by age.
func (p *Pool) rearmLocked(now time.Time) {
	if p.closed || len(p.conns) == 0 {
		return
	}
	next := time.Hour
	for _, c := range p.conns {
		w := c.reuse(&p.cfg, now)
		if !w.open {
			continue
		}
		if w.idle > 0 {
			next = min(next, p.overInLocked(c, w, now))
		}
		for _, age := range []time.Duration{p.cfg.ReuseMaxAge / 4 * 3, p.cfg.ReuseMaxAge} {
			if left := age - now.Sub(c.born); left > 0 {
				next = min(next, left)
			}
		}
	}
	next = max(next, time.Millisecond)
	if p.timer == nil {
		p.timer = time.AfterFunc(next, p.sweep)
	} else {
		p.timer.Reset(next)
	}
}

// lastKept is how often an idle conn that is kept for want of another is checked.
const lastKept = time.Second

// overLocked reports whether the conn is idle and no longer needed.
func (p *Pool) overLocked(c *Conn, w reuse, now time.Time) bool {
	return w.open && w.idle > 0 && p.overInLocked(c, w, now) <= 0
}

// overInLocked returns how long an idle conn is still needed: not at all once it can
// take no more sessions or is worn and has a successor, else until it has been idle
// for IdleMax. An unused conn is kept for the next sessions, so its time runs from the
// last use of any conn. The last conn is kept for longer while dials fail.
func (p *Pool) overInLocked(c *Conn, w reuse, now time.Time) time.Duration {
	if w.spent || w.over && p.successorLocked(c, now) {
		return 0
	}
	idle := w.idle
	if w.uses == 0 {
		idle = min(idle, now.Sub(p.lastUse))
	}
	left := p.cfg.IdleMax - idle
	if left <= 0 && p.lastErr != nil && now.Sub(p.lastUse) < keepTrying && w.takes && !p.otherLocked(c, now) {
		return lastKept
	}
	return left
}

// successorLocked reports whether a conn other than c, on which the server has
// spoken, may take sessions and is not worn.
func (p *Pool) successorLocked(c *Conn, now time.Time) bool {
	for _, other := range p.conns {
		if other != c && other.keepalive.heard() {
			if w := other.reuse(&p.cfg, now); w.takes && !w.over {
				return true
			}
		}
	}
	return false
}

// otherLocked reports whether a conn other than c, on which the server has spoken,
// may take sessions.
func (p *Pool) otherLocked(c *Conn, now time.Time) bool {
	for _, other := range p.conns {
		if other != c && other.keepalive.heard() && other.reuse(&p.cfg, now).takes {
			return true
		}
	}
	return false
}

// sweep closes conns that are no longer needed and dials the successors of those that
// grow old.
func (p *Pool) sweep() {
	p.mu.Lock()
	now := time.Now()
	var over []*Conn
	for _, c := range p.conns {
		if p.overLocked(c, c.reuse(&p.cfg, now), now) {
			over = append(over, c)
		}
	}
	if n := len(p.conns); n > 0 && len(over) == 0 && now.Sub(p.lastUse) < p.cfg.IdleMax {
		p.succeedLocked(p.conns[n-1], now)
	}
	p.rearmLocked(now)
	p.mu.Unlock()
	for _, c := range over {
		c.retire()
	}
}
