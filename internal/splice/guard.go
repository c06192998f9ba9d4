package splice

import (
	"net"
	"syscall"
	"time"
)

// A socket tells of a reset only when it is read or written to, and neither happens
// while the other end takes no bytes, or when all has been read. The guard looks at
// the socket meanwhile: it runs only while there is something to look for, so that an
// idle join has no timer.

// guardEvery is how often a guarded socket is looked at.
const guardEvery = 2 * time.Second

// arm starts the guard of d, if it is not running.
func (d *direction) arm() {
	if d.guarded && !d.armed.Load() && d.armed.CompareAndSwap(false, true) {
		d.look(d.writes.Load())
	}
}

// look looks at the source of d in a while. writes is what d.writes was.
func (d *direction) look(writes uint32) {
	t := &d.j.timers
	t.set(&t.tick[d.from], guardEvery, func() {
		now := d.writes.Load()
		ended, held := d.j.hasEnded(d.from), d.throttled()
		if now == writes && now%2 == 1 || ended || held {
			if err := d.broken(); err != nil {
				if !ended {
					d.j.fail(d.from, err)
					return
				}
				d.j.onEnd(d.from, err, true)
				return
			}
		}
		if now == writes && now%2 == 0 && !ended && !held {
			d.armed.Store(false) // nothing moves, so the source is being read
			if now = d.writes.Load(); now%2 == 0 || !d.armed.CompareAndSwap(false, true) {
				return
			}
		}
		d.look(now)
	})
}

// broken is why the source of d is of no use any more, or nil if it may be.
func (d *direction) broken() error {
	finished := d.j.hasEnded(d.to)
	err := broken(d.j.ends[d.from], finished)
	if err != nil && !finished && d.j.hasEnded(d.to) { // just now: what was seen may be our own end
		err = broken(d.j.ends[d.from], true)
	}
	return err
}

// throttled reports whether bytes were read from the source that may not be used yet.
func (d *direction) throttled() bool {
	t, ok := d.j.ends[d.from].(interface{ Throttled() bool })
	return ok && t.Throttled()
}

func (j *join) hasEnded(e End) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended[e]
}

// hasSocket reports whether c may have a socket to look at.
func hasSocket(c net.Conn) bool {
	switch c.(type) {
	case syscall.Conn, interface{ NetConn() net.Conn }:
		return canPoll
	}
	return false
}

// broken is why the socket beneath c is of no use any more, or nil if it may be.
// finished says that our direction has ended.
func broken(c net.Conn, finished bool) error {
	for c != nil {
		if sc, ok := c.(syscall.Conn); ok {
			raw, err := sc.SyscallConn()
			if err != nil {
				return nil // not to be seen at the moment
			}
			return poll(raw, finished)
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = inner.NetConn()
	}
	return nil
}
