package remux

import (
	"sync"
	"time"
)

// deadline is the deadline of one direction of a session. Its cond's lock
// guards it.
type deadline struct {
	expired bool
	timer   *time.Timer
	set     uint // counts calls of at, so that a timer which is late is ignored
}

// at moves the deadline to t; zero: none. The lock of cond is held.
func (d *deadline) at(t time.Time, cond *sync.Cond) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	d.expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		cond.Broadcast()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		if d.set == set {
			d.expired = true
			cond.Broadcast()
		}
	})
}
