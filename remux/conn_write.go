package remux

import (
	"net"
	"runtime"
	"sync"
	"time"

	"tunnels/internal/netx"
)

// windowLen is the room a WINDOW frame takes.
const windowLen = headerLen + 11

// smallBatches and largeBatches recycle the writer's buffers: an idle conn holds
// none, one on a slow line a small one. A pool is a cache, not state.
var (
	smallBatches = sync.Pool{New: func() any { return &batchBuffer{make([]byte, batchMin), false} }}
	largeBatches = sync.Pool{New: func() any { return &batchBuffer{make([]byte, batchMax), true} }}
)

type batchBuffer struct {
	data  []byte
	large bool
}

func newBatch(size int) *batchBuffer {
	if size > batchMin {
		return largeBatches.Get().(*batchBuffer)
	}
	return smallBatches.Get().(*batchBuffer)
}

func (b *batchBuffer) recycle() {
	if b.large {
		largeBatches.Put(b)
	} else {
		smallBatches.Put(b)
	}
}

// nowWriter is a lower connection that can be written to without waiting for
// the peer, if CanWriteNow says so: WriteNow says whether all was sent; if not,
// Flush has to follow.
type nowWriter interface {
	CanWriteNow() bool
	WriteNow(p []byte) (sent bool, err error)
	Flush() error
}

// writeLoop writes what is there to be written, whenever it has the turn. It
// ends when the conn is dead, or closing with everything sent.
func (c *conn) writeLoop() {
	for c.takeTurn() {
		if c.crowded() {
			// Whoever is just about to write comes into the same batch.
			runtime.Gosched()
		}
		began := c.age()
		var err error
		if c.unsent {
			err = c.now.Flush()
			c.unsent = err != nil
		} else {
			err = c.writeBatch()
		}
		c.passTurn(c.age() - began)
		if err != nil {
			c.fail(err)
			return
		}
	}
	c.farewell()
}

// writeBatch writes one batch. The caller has the turn.
func (c *conn) writeBatch() error {
	c.mu.Lock()
	b := newBatch(c.pace.batch)
	defer b.recycle()
	out, ended := c.nextBatchLocked(b.data[:0])
	c.mu.Unlock()
	var err error
	if len(out) > 0 {
		_, err = c.nc.Write(out)
		c.wrote(len(out))
	}
	for _, s := range ended {
		c.gone(s)
	}
	return err
}

// takeTurn waits until there is something to write and nobody else writes;
// false: there never will be.
func (c *conn) takeTurn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.state != dead {
		if !c.writing {
			if c.unsent || c.workLocked() {
				c.writing = true
				return true
			}
			if c.state == closing {
				return false
			}
		}
		c.wake.Wait()
	}
	return false
}

// passTurn ends a turn in which the lower connection took that long.
func (c *conn) passTurn(took time.Duration) {
	c.mu.Lock()
	c.pace.waited += took
	c.writing = false
	c.mu.Unlock()
}

// workLocked: there is something that should be written now.
func (c *conn) workLocked() bool {
	return len(c.ctrl) > 0 || c.pongDue || c.dueNow || !c.sched.empty()
}

// writeNowLocked writes s's bytes itself, without the writer, if nobody writes
// and nothing else waits: a change of goroutines costs more than a small frame.
// It never waits for the peer; what the lower connection does not take at once
// is left to the writer. mu is released meanwhile.
func (c *conn) writeNowLocked(s *Session) {
	for c.now != nil && !c.crowd.on && !c.writing && !c.unsent && c.state == open && !c.workLocked() && s.hasWorkLocked() && !s.stuckLocked() && !s.ended {
		c.writing = true
		c.sched.add(s)
		b := newBatch(c.pace.batch)
		out, ended := c.nextBatchLocked(b.data[:0])
		c.mu.Unlock()

		sent, err := c.now.WriteNow(out)
		c.wrote(len(out))
		b.recycle()
		for _, e := range ended {
			c.gone(e)
		}
		if err != nil {
			c.fail(err)
		}

		c.mu.Lock()
		c.writing, c.unsent = false, !sent
	}
	if !c.writing && (c.unsent || c.workLocked() || c.state == closing) {
		c.wake.Signal()
	}
}

// nextBatchLocked takes what is to be written: control frames first, then the
// sessions in turn. The sessions it returns have ended with this batch.
func (c *conn) nextBatchLocked(b []byte) (out []byte, ended []*Session) {
	b = c.controlLocked(b)
	c.batchedLocked()
	// What is urgent takes nothing from the others' share of the batch.
	b = b[:len(b):min(cap(b), len(b)+c.pace.batch)]
	if cap(b)-len(b) <= headerLen+windowLen {
		return b, nil
	}
	before := len(b)
	b = c.sched.fill(b, c.maxFrame, func(s *Session, b []byte) []byte {
		if !s.opened.Load() {
			b = c.openedLocked(s, b)
		}
		if s.fin == finSent && (s.gotFin || c.peer == peerBasic) { // whose sessions end with a FIN of either end
			c.removeLocked(s, nil, nil)
			ended = append(ended, s)
		}
		return b
	})
	if len(b) > before {
		c.life.sent(c)
	}
	if c.pace.wrote(len(b), c.age()) {
		netx.SetUnsent(c.nc, c.pace.queue)
	}
	c.sched.quantum = c.pace.turn
	return b, ended
}

// controlLocked appends the control frames that wait. Where they are more than
// a batch, b is left and they are the batch.
func (c *conn) controlLocked(b []byte) []byte {
	if c.life.question.waiting {
		c.life.question.waiting, c.life.taken = false, true
	}
	if len(c.ctrl) > cap(b)/2 {
		b, c.ctrl = c.ctrl, nil
	} else {
		b = append(b, c.ctrl...)
		c.ctrl = c.ctrl[:0]
	}
	if c.pongDue {
		c.pongDue = false
		b = appendPing(b, typePong, c.pong)
	}
	for len(c.due) > 0 && cap(b)-len(b) > 2*windowLen {
		s := c.due[len(c.due)-1]
		c.due[len(c.due)-1] = nil
		c.due = c.due[:len(c.due)-1]
		s.due = false
		if !s.ended && s.opened.Load() {
			b = appendWindow(b, s.number, s.granted.Load())
		}
	}
	c.dueNow = c.dueNow && len(c.due) > 0
	return b
}

// farewell ends our direction of a conn that closes cleanly, and bounds how
// long the peer may take to end its own. Closing at once could destroy what
// the peer has not read yet.
func (c *conn) farewell() {
	c.mu.Lock()
	dead := c.state == dead
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

var _ net.Conn = (*Session)(nil)
