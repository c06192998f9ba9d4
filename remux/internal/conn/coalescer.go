package conn

import "tunnels/remux/internal/frame"

// coalescer gathers the small writes of many sessions in one batch. A session that
// writes alone writes at once and by itself, see lockWriteNowLocked; where several do,
// a record and a system call for each keystroke would be most of their cost. Conn.mu
// guards it.
type coalescer struct {
	on     bool   // small frames are gathered
	batch  uint32 // number of the next batch
	frames int    // gathered for it
	alone  int    // how many batches before it had at most one
}

const (
	// smallMax is the largest payload of a frame that is gathered.
	smallMax = 2 << 10
	// gatherMax is how much may be gathered for one batch.
	gatherMax = 24 << 10
	// aloneMax is the number of batches with one session's frame, or none, after which
	// nothing is gathered any more.
	aloneMax = 8
)

// gatherLocked puts p in the next batch if p is small and other sessions write too, or
// returns false. A session has one such frame in a batch, so that writing often in
// small pieces gains it nothing.
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
	o.ctrl = append(frame.AppendHeader(o.ctrl, s.number, len(p)), p...)
	s.sent += uint64(len(p))
	s.gathered = o.coalescer.batch
	o.coalescer.frames++
	if !s.opened.Load() {
		o.ctrl = c.openedLocked(s, o.ctrl)
	}
	c.keepalive.sent(c)
	o.wake.Signal()
	return true
}

// batchedLocked notes that the gathered frames are on their way. When they have come
// from one session only for a while, gathering ends.
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
		c.out.ctrl = nil // not held while there is no use for it
	}
}

func (c *Conn) coalesces() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.coalescer.on
}
