package conn

import "tunnels/remux/internal/frame"

// coalescer gathers the small writes of many sessions into one batch. If only one session
// is writing, it writes directly (see lockWriteNowLocked); with several, most of the cost
// would be a record and a system call per keystroke. Conn.mu guards it.
type coalescer struct {
	on     bool   // small frames are being gathered
	batch  uint32 // number of the next batch
	frames int    // frames gathered for it
	alone  int    // number of consecutive batches, up to the latest, with at most one frame
}

const (
	// smallMax is the largest payload that is gathered.
	smallMax = 2 << 10
	// gatherMax is how much may be gathered for one batch.
	gatherMax = 24 << 10
	// aloneMax is the number of consecutive batches with at most one gathered frame after
	// which gathering stops.
	aloneMax = 8
)

// gatherLocked adds p to the next batch if p is small and other sessions are writing too;
// otherwise it returns false. A session may have one such frame per batch, so it gains
// nothing from making many small writes.
func (c *Conn) gatherLocked(s *Session, p []byte) bool {
	o := &c.out
	if len(p) > min(smallMax, c.peer.maxFrame) {
		return false
	}
	if !o.coalescer.on {
		if !o.writing {
			return false
		}
		o.coalescer.on, o.coalescer.alone = true, 0
	}
	if len(o.ctrl) > gatherMax || len(s.wbuf) > 0 || s.gathered == o.coalescer.batch || s.sendMax-s.sent < uint64(len(p)) {
		return false
	}
	o.ctrl = append(frame.AppendHeader(o.ctrl, s.at.Load().Number, len(p)), p...)
	s.sent += uint64(len(p))
	s.gathered = o.coalescer.batch
	o.coalescer.frames++
	if !s.opened.Load() {
		o.ctrl = c.openedLocked(s, o.ctrl)
	}
	c.keepalive.NoteSent()
	o.wake.Signal()
	return true
}

// batchedLocked records that the gathered frames are being written. Gathering stops when
// only one session has contributed for a while.
func (c *Conn) batchedLocked() {
	k := &c.out.coalescer
	if k.frames > 1 {
		k.alone = 0
	} else if k.alone++; k.alone == aloneMax {
		k.on = false
	}
	k.batch++
	k.frames = 0
	if !k.on && cap(c.out.ctrl) > smallMax {
		c.out.ctrl = nil // release memory that is no longer needed
	}
}

func (c *Conn) coalesces() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.coalescer.on
}
