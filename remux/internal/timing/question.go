package timing

import (
	"net"
	"time"

	"tunnels/internal/netx"
)

// Question is a PING that has yet to be answered, by any byte from the peer. It also
// tracks which bytes the peer's kernel has acknowledged. While the PING is queued behind
// other bytes and those are being acknowledged, the line is merely slow. Once the PING
// has arrived, only a response counts, because the kernel of a stopped process keeps
// acknowledging later bytes. Times are measured from the start of the conn. The owner does the locking.
type Question struct {
	at      time.Duration // when the PING was queued, or 0 if there is none
	waiting bool          // the PING is among the control frames not yet written
	goal    uint64        // value that netx.Sent.Acked reaches when the PING arrives, or 0 before it has been sent
	arrived bool
	moved   uint64        // value of netx.Sent.Moved at the last check
	movedAt time.Duration // when moved last changed before the PING arrived, or 0
}

// Ask records that a PING to the peer of nc is among the control frames to be written. It
// does nothing if an earlier PING has yet to be answered. heard is when the peer was last
// heard from.
func (q *Question) Ask(nc net.Conn, heard, now time.Duration) {
	if q.Open(heard) {
		return
	}
	p, _ := netx.Progress(nc)
	*q = Question{at: now, waiting: true, moved: p.Moved}
}

// Open reports whether the PING was queued and nothing has been received since. heard is
// when the peer was last heard from.
func (q *Question) Open(heard time.Duration) bool { return q.at != 0 && heard < q.at }

// Take records that the control frames are part of the batch about to be written, and
// reports whether the PING is among them.
func (q *Question) Take() bool {
	waited := q.waiting
	q.waiting = false
	return waited
}

// Left records that a batch with a PING has been handed to the kernel.
func (q *Question) Left(nc net.Conn) {
	if q.waiting { // the batch had an earlier PING
		return
	}
	if p, ok := netx.Progress(nc); ok {
		q.goal = max(p.Acked+p.Queued, 1)
	}
}

// Progress checks whether the peer's kernel has acknowledged anything since the last
// check.
func (q *Question) Progress(nc net.Conn, now time.Duration) {
	p, ok := netx.Progress(nc)
	if !ok || q.arrived || p.Moved == q.moved {
		return
	}
	q.moved, q.movedAt = p.Moved, now
	q.arrived = q.goal != 0 && p.Acked >= q.goal
}

// MovedAt returns when the peer's kernel last acknowledged bytes ahead of the PING, or 0
// if it has acknowledged none.
func (q *Question) MovedAt() time.Duration { return q.movedAt }
