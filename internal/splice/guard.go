package splice

import (
	"net"
	"syscall"
	"time"
)

// A socket reports a reset only to a read or write. Neither happens while the other end
// accepts no data, or after end of file was read. The guard polls the socket during
// those times. It runs only when needed, so an idle join has no timer.

// guardEvery is the interval at which a guarded socket is polled.
const guardEvery = 2 * time.Second

// arm starts d's guard unless it is already running.
func (d *direction) arm() {
	if d.guarded && !d.armed.Load() && d.armed.CompareAndSwap(false, true) {
		d.look(d.writes.Load())
	}
}

// look polls d's source after guardEvery, and again as long as needed. writes is the
// value of d.writes at the time of the call.
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
			d.armed.Store(false) // no write in progress, so the source is being read
			if now = d.writes.Load(); now%2 == 0 || !d.armed.CompareAndSwap(false, true) {
				return
			}
		}
		d.look(now)
	})
}

// broken returns the error that makes d's source unusable, or nil if none is known.
func (d *direction) broken() error {
	finished := d.j.hasEnded(d.to)
	err := broken(d.j.ends[d.from], finished)
	if err != nil && !finished && d.j.hasEnded(d.to) { // just ended: err may be caused by our own CloseWrite
		err = broken(d.j.ends[d.from], true)
	}
	return err
}

// throttled reports whether the source is holding back bytes to limit the rate.
func (d *direction) throttled() bool {
	t, ok := d.j.ends[d.from].(interface{ Throttled() bool })
	return ok && t.Throttled()
}

// hasEnded reports whether end of file has been read from e.
func (j *join) hasEnded(e End) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended[e]
}

// hasSocket reports whether c may have a pollable socket.
func hasSocket(c net.Conn) bool {
	switch c.(type) {
	case syscall.Conn, interface{ NetConn() net.Conn }:
		return canPoll
	}
	return false
}

// broken returns the error that makes the socket under c unusable, or nil if none is
// known. finished means that our direction has already ended.
func broken(c net.Conn, finished bool) error {
	for c != nil {
		if sc, ok := c.(syscall.Conn); ok {
			raw, err := sc.SyscallConn()
			if err != nil {
				return nil // the socket is inaccessible right now
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
