package remux

import (
	"time"

	"tunnels/remux/internal/conn"
)

// keyMax is the number of bytes after which a conn takes no more sessions, unless the
// configuration allows more. crypto/tls never updates a connection's keys on its own.
const keyMax = 64 << 30

// A conn that is busy may go beyond the default limits on reuse: a new conn is in slow
// start, so changing conns in the middle of a page would double its time.
const (
	busyCount = 8 // times Config.ReuseMaxCount
	busyAge   = 2 // times Config.ReuseMaxAge
)

// limits returns the limits on reuse. The defaults of c must not have been filled in,
// because a limit that is set is exact.
func (c *Config) limits() conn.ReuseLimits {
	d := c.defaults()
	l := conn.ReuseLimits{
		Count: d.ReuseMaxCount, CountBusy: d.ReuseMaxCount,
		Age: d.ReuseMaxAge, AgeBusy: d.ReuseMaxAge,
		Bytes: d.ReuseMaxBytes, Key: max(d.ReuseMaxBytes, keyMax), NewFor: slowDial,
	}
	if c.ReuseMaxCount <= 0 {
		l.CountBusy *= busyCount
	}
	if c.ReuseMaxAge <= 0 {
		l.AgeBusy *= busyAge
	}
	return l
}

// rearmLocked sets the timer for the next time a conn will have been idle for too long or
// will be near its age limit.
func (p *Pool) rearmLocked(now time.Time) {
	if p.closed || len(p.conns) == 0 {
		return
	}
	next := time.Hour
	for _, c := range p.conns {
		w := c.Reuse(&p.limits, now)
		if !w.Open {
			continue
		}
		if w.Idle > 0 {
			next = min(next, p.overInLocked(c, w, now))
		}
		for _, age := range []time.Duration{p.cfg.ReuseMaxAge / 4 * 3, p.cfg.ReuseMaxAge} {
			if left := age - c.AgeAt(now); left > 0 {
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

// lastKept is the interval between checks of an idle conn that is kept only because it is
// the last one.
const lastKept = time.Second

// overLocked reports whether the conn is idle and no longer needed.
func (p *Pool) overLocked(c *conn.Conn, w conn.Reuse, now time.Time) bool {
	return w.Open && w.Idle > 0 && p.overInLocked(c, w, now) <= 0
}

// overInLocked returns how much longer an idle conn is needed: 0 if it can take no more
// sessions or is worn and has a successor, otherwise the time until it has been idle for
// IdleMax. An unused conn is kept for future sessions, so its idle time starts at the
// last use of any conn. The last conn is kept longer while dials fail.
func (p *Pool) overInLocked(c *conn.Conn, w conn.Reuse, now time.Time) time.Duration {
	if w.Spent || w.Over && p.successorLocked(c, now) {
		return 0
	}
	idle := w.Idle
	if w.Uses == 0 {
		idle = min(idle, now.Sub(p.lastUse))
	}
	left := p.cfg.IdleMax - idle
	if left <= 0 && p.lastErr != nil && now.Sub(p.lastUse) < keepTrying && w.Takes && !p.otherLocked(c, now) {
		return lastKept
	}
	return left
}

// successorLocked reports whether there is a conn other than c that can take sessions, is
// not worn, and has received something from the server.
func (p *Pool) successorLocked(c *conn.Conn, now time.Time) bool {
	for _, other := range p.conns {
		if other != c && other.Heard() {
			if w := other.Reuse(&p.limits, now); w.Takes && !w.Over {
				return true
			}
		}
	}
	return false
}

// otherLocked reports whether there is a conn other than c that can take sessions and has
// received something from the server.
func (p *Pool) otherLocked(c *conn.Conn, now time.Time) bool {
	for _, other := range p.conns {
		if other != c && other.Heard() && other.Reuse(&p.limits, now).Takes {
			return true
		}
	}
	return false
}

// sweep closes conns that are no longer needed and dials the successors of aging ones.
func (p *Pool) sweep() {
	p.mu.Lock()
	now := time.Now()
	var over []*conn.Conn
	for _, c := range p.conns {
		if p.overLocked(c, c.Reuse(&p.limits, now), now) {
			over = append(over, c)
		}
	}
	if n := len(p.conns); n > 0 && len(over) == 0 && now.Sub(p.lastUse) < p.cfg.IdleMax {
		p.succeedLocked(p.conns[n-1], now)
	}
	p.rearmLocked(now)
	p.mu.Unlock()
	for _, c := range over {
		c.Retire()
	}
}
