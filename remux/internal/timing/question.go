package timing

import (
	"net"
	"time"

	"tunnels/internal/netx"
)

// Question is a PING waiting for any byte from the peer, with the progress of the peer's
// system towards it. While it is queued after other bytes and those are being
// acknowledged, the line is slow. Once it has arrived only an answer counts: the system
// of a stopped process keeps acknowledging later bytes. Times are ages of the conn. The
// owner does the locking.
type Question struct {
	at      time.Duration // when it was asked, or 0 if there is no question
	waiting bool          // it is among the control frames not yet written
	goal    uint64        // value of netx.Sent.Acked once it has arrived, or 0 before it has left
	arrived bool
	moved   uint64        // value of netx.Sent.Moved at the last check
	movedAt time.Duration // when moved last changed before it arrived, or 0
}

// Ask records that a PING to the peer of nc has joined the control frames. An earlier one
// that is still open remains the question. heard is when the peer was last heard from.
func (q *Question) Ask(nc net.Conn, heard, now time.Duration) {
	if q.Open(heard) {
		return
	}
	p, _ := netx.Progress(nc)
	*q = Question{at: now, waiting: true, moved: p.Moved}
}

// Open reports whether it was asked and nothing has been received since. heard is when
// the peer was last heard from.
func (q *Question) Open(heard time.Duration) bool { return q.at != 0 && heard < q.at }

// Take records that the control frames are leaving with the next batch, and reports
// whether the question is among them.
func (q *Question) Take() bool {
	waited := q.waiting
	q.waiting = false
	return waited
}

// Left records that a batch with a PING has been handed to our system.
func (q *Question) Left(nc net.Conn) {
	if q.waiting { // the batch had an earlier PING
		return
	}
	if p, ok := netx.Progress(nc); ok {
		q.goal = max(p.Acked+p.Queued, 1)
	}
}

// Progress records whether the peer's system has made progress since the last check.
func (q *Question) Progress(nc net.Conn, now time.Duration) {
	p, ok := netx.Progress(nc)
	if !ok || q.arrived || p.Moved == q.moved {
		return
	}
	q.moved, q.movedAt = p.Moved, now
	q.arrived = q.goal != 0 && p.Acked >= q.goal
}

// MovedAt returns when the peer's system last made progress towards the question, or 0 if
// it has made none.
func (q *Question) MovedAt() time.Duration { return q.movedAt }
