// Package timing measures and bounds the time that a peer takes: deadlines of reads and
// writes, round trips, and how far the question has come whether the peer is alive. It knows
// no conn.
package timing

import (
	"sync"
	"time"
)

// Deadline is the deadline of one direction of a session, whose lock guards it.
type Deadline struct {
	Expired bool
	timer   *time.Timer
	set     uint // counts calls of At, so that a timer which is late is ignored
}

// Side is one direction of a session, as its deadline sees it.
type Side interface {
	sync.Locker
	WakeLocked() // wakes the callers that wait in that direction
}

// At moves the deadline to t; the zero time means that there is none. The side's lock
// is held.
func (d *Deadline) At(t time.Time, of Side) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	d.Expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.Expired = true
		of.WakeLocked()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		of.Lock()
		defer of.Unlock()
		if d.set == set {
			d.Expired = true
			of.WakeLocked()
		}
	})
}
