package conn

import (
	"sync"
	"time"
)

// deadline is the deadline of one direction of a session, whose lock guards it.
type deadline struct {
	expired bool
	timer   *time.Timer
	set     uint // counts calls of at, so that a timer which is late is ignored
}

// side is one direction of a session, as its deadline sees it.
type side interface {
	sync.Locker
	wakeLocked() // wakes the callers that wait in that direction
}

type (
	readSide  struct{ *Session }
	writeSide struct{ *Session }
)

// The methods of side. Lock and Unlock are those of the mutex that guards the direction.
func (s readSide) Lock()       { s.mu.Lock() }
func (s readSide) Unlock()     { s.mu.Unlock() }
func (s readSide) wakeLocked() { s.wakeReaderLocked() }

func (s writeSide) Lock()       { s.conn.mu.Lock() }
func (s writeSide) Unlock()     { s.conn.mu.Unlock() }
func (s writeSide) wakeLocked() { s.wcond.Broadcast() }

// at moves the deadline to t; the zero time means that there is none. The side's lock
// is held.
func (d *deadline) at(t time.Time, of side) {
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
		of.wakeLocked()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		of.Lock()
		defer of.Unlock()
		if d.set == set {
			d.expired = true
			of.wakeLocked()
		}
	})
}
