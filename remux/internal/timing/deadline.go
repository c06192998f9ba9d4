// Package timing measures and limits how long a peer takes: read and write deadlines,
// round trips, and the progress of a PING that checks whether the peer is alive. It is
// independent of package conn.
package timing

import (
	"sync"
	"time"
)

// Deadline is the deadline of one direction of a session. That direction's lock guards
// it.
type Deadline struct {
	Expired bool
	timer   *time.Timer
	set     uint // counts calls to At, so that a stale timer is ignored
}

// Side is the view of one direction of a session that its deadline needs.
type Side interface {
	sync.Locker
	WakeLocked() // wakes the callers waiting in that direction
}

// At sets the deadline to t; the zero time means no deadline. The side's lock must be
// held.
func (d *Deadline) At(t time.Time, side Side) {
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
		side.WakeLocked()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		side.Lock()
		defer side.Unlock()
		if d.set == set {
			d.Expired = true
			side.WakeLocked()
		}
	})
}
