package conn

import (
	"runtime"
	"time"

	"tunnels/internal/netx"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// windowLen is the length of a WINDOW frame.
const windowLen = frame.HeaderLen + 11

// nowWriter is a lower connection that supports non-blocking writes if CanWriteNow
// returns true. WriteNow reports whether all of p was sent; if not, the next call must be
// Flush.
type nowWriter interface {
	CanWriteNow() bool
	WriteNow(p []byte) (sent bool, err error)
	Flush() error
}

// writeLoop writes whatever is ready, under the write lock. It returns when the conn is
// dead, or is closing and everything has been sent.
func (c *Conn) writeLoop() {
	for c.lockWrite() {
		if c.coalesces() {
			// Let sessions that are about to write join the same batch.
			runtime.Gosched()
		}
		began := c.Age()
		var err error
		if c.out.unsent {
			err = c.now.Flush()
			c.out.unsent = err != nil
		} else {
			err = c.writeBatch()
		}
		c.unlockWrite(c.Age() - began)
		if err != nil {
			c.fail(err)
			return
		}
	}
	c.closeWrite()
}

// batch holds the frames of one write. The goroutine holding the write lock owns it.
type batch struct {
	buf   *flow.Batch
	out   []byte
	ended []*Session // sessions that end with this batch
}

// takeBatchLocked assembles the next batch. The caller holds the write lock.
func (c *Conn) takeBatchLocked() (b batch) {
	b.buf = flow.NewBatch(c.out.pacer.Batch)
	b.out, b.ended = c.nextBatchLocked(b.buf.Data[:0])
	return b
}

// batchWritten completes takeBatchLocked once b.out is written.
func (c *Conn) batchWritten(b batch) {
	b.buf.Recycle()
	for _, s := range b.ended {
		c.gone(s)
	}
}

// writeBatch writes one batch. The caller holds the write lock.
func (c *Conn) writeBatch() error {
	c.mu.Lock()
	b := c.takeBatchLocked()
	c.mu.Unlock()
	var err error
	if len(b.out) > 0 {
		_, err = c.nc.Write(b.out)
		c.noteWritten(len(b.out))
	}
	c.batchWritten(b)
	return err
}

// lockWrite waits until there is something to write, acquires the write lock and returns
// true. It returns false if nothing more will be written.
func (c *Conn) lockWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.end.state != dead {
		if !c.out.writing {
			if c.out.unsent || c.workLocked() {
				c.out.writing = true
				return true
			}
			if c.end.state == closing {
				return false
			}
		}
		c.out.wake.Wait()
	}
	return false
}

// unlockWrite releases the write lock; took is how long the lower connection blocked.
func (c *Conn) unlockWrite(took time.Duration) {
	c.mu.Lock()
	c.out.pacer.Waited += took
	c.out.writing = false
	c.mu.Unlock()
}

// workLocked reports whether something should be written now.
func (c *Conn) workLocked() bool {
	return len(c.out.ctrl) > 0 || c.keepalive.PongsLocked() || c.out.dueNow || !c.out.sched.empty()
}

// lockWriteNowLocked acquires the write lock for s, whose Write then writes its bytes
// directly, if the lock is free and nothing else is waiting. A goroutine switch costs
// more than a small frame.
func (c *Conn) lockWriteNowLocked(s *Session) bool {
	o := &c.out
	if c.now == nil || o.coalescer.on || o.writing || o.unsent || c.end.state != open || c.workLocked() || !s.hasWorkLocked() || s.stuckLocked() || s.ended {
		return false
	}
	o.writing = true
	o.sched.add(s)
	return true
}

// writeNow writes a batch without waiting for the peer and reports whether the lower
// connection accepted all of it. The caller holds the write lock.
func (c *Conn) writeNow(b batch) (sent bool) {
	sent, err := c.now.WriteNow(b.out)
	c.noteWritten(len(b.out))
	c.batchWritten(b)
	if err != nil {
		c.fail(err)
	}
	return sent
}

// unlockWriteNowLocked releases the write lock after writeNow.
func (c *Conn) unlockWriteNowLocked(sent bool) {
	c.out.writing, c.out.unsent = false, !sent
}

// passWriteLocked wakes the writer if there are bytes that a Write has not written
// directly.
func (c *Conn) passWriteLocked() {
	if !c.out.writing && (c.out.unsent || c.workLocked() || c.end.state == closing) {
		c.out.wake.Signal()
	}
}

// nextBatchLocked returns the next bytes to write: control frames first, then the frames
// of the sessions in turn. The sessions it returns end with this batch; the caller must
// call gone for them once no lock is held.
func (c *Conn) nextBatchLocked(b []byte) (out []byte, ended []*Session) {
	b = c.controlLocked(b)
	c.batchedLocked()
	// Control frames do not count against the sessions' share of the batch.
	b = b[:len(b):min(cap(b), len(b)+c.out.pacer.Batch)]
	if cap(b)-len(b) <= frame.HeaderLen+windowLen {
		return b, nil
	}
	before := len(b)
	b = c.out.sched.fill(b, c.peer.maxFrame, func(s *Session, b []byte) []byte {
		if !s.opened.Load() {
			b = c.openedLocked(s, b)
		}
		if s.fin == finSent && (s.gotFin || c.peer.kind == peerBasic) { // with a basic peer, either FIN ends the session
			c.removeLocked(s, nil, nil)
			ended = append(ended, s)
		}
		return b
	})
	if len(b) > before {
		c.keepalive.NoteSent()
	}
	if c.out.pacer.Wrote(len(b), c.Age()) {
		netx.SetUnsent(c.nc, c.out.pacer.Queue)
	}
	c.out.sched.quantum = c.out.pacer.Quantum
	return b, ended
}

// controlLocked appends the waiting control frames. If they are more than half a batch,
// they become the batch and b is not used.
func (c *Conn) controlLocked(b []byte) []byte {
	o := &c.out
	if len(o.ctrl) > cap(b)/2 {
		b, o.ctrl = o.ctrl, nil
	} else {
		b = append(b, o.ctrl...)
		o.ctrl = o.ctrl[:0]
	}
	b = c.keepalive.BatchLocked(b)
	for len(o.due) > 0 && cap(b)-len(b) > 2*windowLen {
		s := o.due[len(o.due)-1]
		o.due[len(o.due)-1] = nil
		o.due = o.due[:len(o.due)-1]
		at := s.at.Load()
		if at.Conn != c { // it has moved, and is due there
			continue
		}
		s.due = false
		if !s.ended && s.opened.Load() {
			b = frame.AppendWindow(b, at.Number, s.Granted())
		}
	}
	o.dueNow = o.dueNow && len(o.due) > 0
	return b
}

// closeWrite ends our direction of a conn that closes cleanly, and limits how long the
// peer may take to end its own. Closing the conn immediately could discard bytes that the
// peer has not read yet.
func (c *Conn) closeWrite() {
	c.mu.Lock()
	dead := c.end.state == dead
	c.mu.Unlock()
	if dead {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerMax))
	if h, ok := c.nc.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		return
	}
	cut(c.nc)
}
