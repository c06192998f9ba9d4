package remux

import "time"

// wear is how a conn stands to the rules of reuse.
type wear struct {
	open     bool // it has not begun to end
	takes    bool // the protocol and its health allow one more session
	over     bool // too old, or used too often, for more
	near     bool // soon over: time to send for the successor
	uses     int
	overMax  int // uses up to which it serves on while its successor is on the way
	sessions int
	idle     time.Duration // since the last session ended; 0: there are sessions
}

// wear looks at the conn with the pool's rules.
func (c *conn) wear(cfg *Config, now time.Time) wear {
	c.mu.Lock()
	defer c.mu.Unlock()
	age, bytes := now.Sub(c.born), c.bytes.Load()
	w := wear{
		open:     c.state == open,
		takes:    c.takesLocked() && !c.life.suspectLocked(c),
		over:     c.uses >= cfg.ReuseMaxCount || age >= cfg.ReuseMaxAge || bytes >= cfg.ReuseMaxBytes,
		near:     c.uses >= (cfg.ReuseMaxCount+1)/2 || age >= cfg.ReuseMaxAge/4*3 || bytes >= cfg.ReuseMaxBytes/4*3,
		uses:     c.uses,
		overMax:  max(c.overMax, 2*cfg.ReuseMaxCount),
		sessions: len(c.sessions),
	}
	if w.sessions == 0 {
		w.idle = max(now.Sub(c.idleFrom), 1)
	}
	return w
}

// grace notes that the successor has just been sent for: until it is there, a
// burst of twice the count finds room here, however worn the conn was before.
func (c *conn) grace(cfg *Config) {
	c.mu.Lock()
	c.overMax = c.uses + 2*cfg.ReuseMaxCount
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
		w := c.wear(&p.cfg, now)
		if !w.open {
			continue
		}
		if w.idle > 0 {
			next = min(next, p.idleLeftLocked(c, w, now))
		}
		if left := p.cfg.ReuseMaxAge/4*3 - now.Sub(c.born); left > 0 {
			next = min(next, left)
		}
	}
	next = max(next, time.Millisecond)
	if p.timer == nil {
		p.timer = time.AfterFunc(next, p.look)
	} else {
		p.timer.Reset(next)
	}
}

// idleLeftLocked is how long an idle conn may live on. A spare, which has not
// been used yet, is there for what comes next, so its time runs from the last
// use of any conn.
func (p *Pool) idleLeftLocked(c *conn, w wear, now time.Time) time.Duration {
	idle := w.idle
	if w.uses == 0 {
		idle = min(idle, now.Sub(p.lastUse))
	}
	return p.cfg.IdleMax - idle
}

// look closes conns that have been idle for too long and sends for the
// successors of those that grow old.
func (p *Pool) look() {
	p.mu.Lock()
	now := time.Now()
	var through []*conn
	for _, c := range p.conns {
		w := c.wear(&p.cfg, now)
		if w.open && w.idle > 0 && (p.idleLeftLocked(c, w, now) <= 0 || w.over && p.dialing == 0) {
			through = append(through, c)
		}
	}
	if n := len(p.conns); n > 0 && len(through) == 0 && now.Sub(p.lastUse) < p.cfg.IdleMax {
		p.succeedLocked(p.conns[n-1], now)
	}
	p.rearmLocked(now)
	p.mu.Unlock()
	for _, c := range through {
		c.retire()
	}
}
