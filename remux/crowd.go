package remux

// crowd gathers what many sessions write in small pieces. One that writes alone
// does so at once and by itself, see writeNowLocked; where several do, a record and
// a system call for each of their keystrokes would be most of what they cost.
// conn.mu guards it.
type crowd struct {
	on     bool   // small frames are gathered
	batch  uint32 // number of the next batch
	frames int    // gathered for it
	alone  int    // how many batches before it had one at most
}

const (
	// smallMax is the most payload of a frame that is gathered.
	smallMax = 2 << 10
	// gatherMax is how much may be gathered for one batch.
	gatherMax = 24 << 10
	// aloneMax is after how many batches of one session there is no crowd.
	aloneMax = 8
)

// gatherLocked puts p in the next batch if it is small and others write too;
// false: it goes the ordinary way. A session has one such frame in a batch, so that
// it gets no more by writing little often.
func (c *conn) gatherLocked(s *Session, p []byte) bool {
	if len(p) > min(smallMax, c.maxFrame) {
		return false
	}
	if !c.crowd.on {
		if !c.writing {
			return false
		}
		c.crowd.on, c.crowd.alone = true, 0
	}
	if len(c.ctrl) > gatherMax || len(s.wbuf) > 0 || s.gathered == c.crowd.batch || s.sendMax-s.sent < uint64(len(p)) {
		return false
	}
	c.ctrl = append(appendHeader(c.ctrl, s.number, len(p)), p...)
	s.sent += uint64(len(p))
	s.gathered = c.crowd.batch
	c.crowd.frames++
	if !s.opened.Load() {
		c.ctrl = c.openedLocked(s, c.ctrl)
	}
	c.life.sent(c)
	c.wake.Signal()
	return true
}

// batchedLocked: what was gathered is on its way. When it has been from one session
// only for a while, the crowd is over.
func (c *conn) batchedLocked() {
	if c.crowd.frames > 1 {
		c.crowd.alone = 0
	} else if c.crowd.alone++; c.crowd.alone == aloneMax {
		c.crowd.on = false
	}
	c.crowd.batch++
	c.crowd.frames = 0
	if !c.crowd.on && cap(c.ctrl) > smallMax {
		c.ctrl = nil // not held while there is no use for it
	}
}

func (c *conn) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crowd.on
}
