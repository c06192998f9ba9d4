package conn

import (
	"time"

	"tunnels/internal/netx"
)

// question is a PING that waits for any byte of the peer, and how far the peer's system
// has come towards it. While it lies behind other bytes and those are acknowledged, the
// line is slow. Once it has arrived only an answer counts: the system of a process that
// has stopped goes on acknowledging later bytes. Guarded by Conn.mu.
type question struct {
	at      time.Duration // when it was asked, or 0 if there is none
	waiting bool          // it is among the control frames that wait
	goal    uint64        // netx.Sent.Acked once it has arrived, or 0 before it has left
	arrived bool
	moved   uint64        // netx.Sent.Moved when last checked
	movedAt time.Duration // when that had changed on the way to it, or 0
}

// askLocked notes that a PING has joined the control frames. One that is still open
// remains the question.
func (q *question) askLocked(c *Conn, now time.Duration) {
	if q.openLocked(c) {
		return
	}
	p, _ := netx.Progress(c.nc)
	*q = question{at: now, waiting: true, moved: p.Moved}
}

// openLocked reports whether it was asked and nothing has come since.
func (q *question) openLocked(c *Conn) bool {
	return q.at != 0 && time.Duration(c.keepalive.received.Load()) < q.at
}

// leftLocked notes that a batch with a PING has been handed to our system.
func (q *question) leftLocked(c *Conn) {
	if q.waiting { // that PING was an earlier one
		return
	}
	if p, ok := netx.Progress(c.nc); ok {
		q.goal = max(p.Acked+p.Queued, 1)
	}
}

// progressLocked notes whether the peer's system has come nearer since the last check.
func (q *question) progressLocked(c *Conn, now time.Duration) {
	p, ok := netx.Progress(c.nc)
	if !ok || q.arrived || p.Moved == q.moved {
		return
	}
	q.moved, q.movedAt = p.Moved, now
	q.arrived = q.goal != 0 && p.Acked >= q.goal
}
