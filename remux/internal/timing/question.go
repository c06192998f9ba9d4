package timing

import (
	"net"
	"time"

	"tunnels/internal/netx"
)

// Question is a PING that waits for any byte of the peer, and how far the peer's system
// has come towards it. While it lies behind other bytes and those are acknowledged, the
// line is slow. Once it has arrived only an answer counts: the system of a process that
// has stopped goes on acknowledging later bytes. Times are since the conn's birth.
// The owner locks.
type Question struct {
	at      time.Duration // when it was asked, or 0 if there is none
	waiting bool          // it is among the control frames that wait
	goal    uint64        // netx.Sent.Acked once it has arrived, or 0 before it has left
	arrived bool
	moved   uint64        // netx.Sent.Moved when last checked
	movedAt time.Duration // when that had changed on the way to it, or 0
}

// Ask notes that a PING to the peer of nc has joined the control frames. One that is still
// open remains the question. heard is when something was last heard of the peer.
func (q *Question) Ask(nc net.Conn, heard, now time.Duration) {
	if q.Open(heard) {
		return
	}
	p, _ := netx.Progress(nc)
	*q = Question{at: now, waiting: true, moved: p.Moved}
}

// Open reports whether it was asked and nothing has come since. heard is when something
// was last heard of the peer.
func (q *Question) Open(heard time.Duration) bool { return q.at != 0 && heard < q.at }

// Take notes that the control frames leave with the next batch, and reports whether the
// question is among them.
func (q *Question) Take() bool {
	waited := q.waiting
	q.waiting = false
	return waited
}

// Left notes that a batch with a PING has been handed to our system.
func (q *Question) Left(nc net.Conn) {
	if q.waiting { // that PING was an earlier one
		return
	}
	if p, ok := netx.Progress(nc); ok {
		q.goal = max(p.Acked+p.Queued, 1)
	}
}

// Progress notes whether the peer's system has come nearer since the last check.
func (q *Question) Progress(nc net.Conn, now time.Duration) {
	p, ok := netx.Progress(nc)
	if !ok || q.arrived || p.Moved == q.moved {
		return
	}
	q.moved, q.movedAt = p.Moved, now
	q.arrived = q.goal != 0 && p.Acked >= q.goal
}

// MovedAt returns when the peer's system last came nearer to the question, or 0 if it has
// not.
func (q *Question) MovedAt() time.Duration { return q.movedAt }
