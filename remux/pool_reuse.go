package remux

import "time"

// keyMax is how many bytes a conn may carry, unless the configuration allows more, and
// still take a session: crypto/tls never changes the keys of a connection by itself.
const keyMax = 64 << 30

// limits returns the rules of reuse. The fields of c have their defaults.
func (c *Config) limits() reuseLimits {
	return reuseLimits{
		count: c.ReuseMaxCount, age: c.ReuseMaxAge, bytes: c.ReuseMaxBytes,
		key: max(c.ReuseMaxBytes, keyMax), isNew: slowDial,
	}
}

// rearmLocked sets the timer for the next conn that will be idle for too long
// or near its end by age.
func (p *Pool) rearmLocked(now time.Time) {
	if p.closed || len(p.conns) == 0 {
		return
	}
	next := time.Hour
	for _, c := range p.conns {
		w := c.reuse(&p.limits, now)
		if !w.open {
			continue
		}
		if w.idle > 0 {
			next = min(next, p.overInLocked(c, w, now))
		}
		for _, age := range []time.Duration{p.cfg.ReuseMaxAge / 4 * 3, p.cfg.ReuseMaxAge} {
			if left := age - c.ageAt(now); left > 0 {
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
		if other != c && other.heard() {
			if w := other.reuse(&p.limits, now); w.takes && !w.over {
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
		if other != c && other.heard() && other.reuse(&p.limits, now).takes {
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
		if p.overLocked(c, c.reuse(&p.limits, now), now) {
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
