package conn

import (
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// The scheduler decides the order in which sessions put their bytes on the conn. Each may
// send a quantum, which the pacer sets, before the next session's turn. A session that
// has just become active goes first, once, so that a keystroke waits only for the batch
// being written, not for a quantum of every download. A session that has sent all its
// bytes keeps its place until its turn: a download whose next bytes arrive meanwhile does
// not count as new.

// slot is a session's place in the scheduler. Conn.mu guards it.
type slot struct {
	next  *Session
	where place
	left  int // unused bytes of the quantum
}

type place uint8

const (
	nowhere place = iota
	inFresh
	inRest
)

// scheduler holds the sessions that may have something to send. Conn.mu guards it.
type scheduler struct {
	fresh, rest queue
	quantum     int // payload bytes a session may send per turn
}

type queue struct{ head, tail *Session }

// Conn.mu must be held when calling the methods of queue and scheduler.

func (q *queue) push(s *Session, where place) {
	s.slot.where, s.slot.next = where, nil
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.slot.next = s
	}
	q.tail = s
}

func (q *queue) pop() *Session {
	s := q.head
	q.head = s.slot.next
	if q.head == nil {
		q.tail = nil
	}
	s.slot.where, s.slot.next = nowhere, nil
	return s
}

// remove takes s out of the queue. That takes time proportional to its length.
func (q *queue) remove(s *Session) {
	for before := (*Session)(nil); ; {
		next := q.head
		if before != nil {
			next = before.slot.next
		}
		if next != s {
			before = next
			continue
		}
		if before == nil {
			q.head = s.slot.next
		} else {
			before.slot.next = s.slot.next
		}
		if q.tail == s {
			q.tail = before
		}
		s.slot.where, s.slot.next = nowhere, nil
		return
	}
}

// add puts s in line unless it is there already.
func (q *scheduler) add(s *Session) {
	if s.slot.where == nowhere {
		s.slot.left = q.quantum
		q.fresh.push(s, inFresh)
	}
}

// remove takes s, which moves to another conn, out of the line.
func (q *scheduler) remove(s *Session) {
	switch s.slot.where {
	case inFresh:
		q.fresh.remove(s)
	case inRest:
		q.rest.remove(s)
	}
}

func (q *scheduler) empty() bool { return q.fresh.head == nil && q.rest.head == nil }

// fill appends frames to b, up to its capacity, in the order of the sessions in line. It
// calls sent after each frame, with the frame's session.
func (q *scheduler) fill(b []byte, maxFrame int, sent func(*Session, []byte) []byte) []byte {
	begin := len(b)
	for cap(b)-len(b) > frame.HeaderLen+windowLen {
		from := &q.fresh
		if from.head == nil {
			from = &q.rest
		}
		s := from.head
		switch {
		case s == nil:
			return b
		case s.ended || s.stuckLocked():
			from.pop()
		case !s.hasWorkLocked():
			if from.pop(); from == &q.fresh {
				q.rest.push(s, inRest)
			}
		case s.slot.left <= 0:
			s.slot.left += q.quantum
			from.pop()
			q.rest.push(s, inRest)
		default:
			room := cap(b) - len(b) - frame.HeaderLen - windowLen
			s.slot.left = min(s.slot.left, q.quantum)
			if room < flow.RecordFrame && room < min(len(s.wbuf), s.slot.left, maxFrame) && len(b) > begin {
				return b // a truncated frame would misalign every later one
			}
			b = s.nextFrameLocked(b, min(room, s.slot.left, maxFrame, flow.LargeFrame))
			b = sent(s, b)
		}
	}
	return b
}

// hasWorkLocked reports whether there is a frame to send.
func (s *Session) hasWorkLocked() bool { return len(s.wbuf) > 0 || s.fin == finWanted }

// stuckLocked reports whether there are bytes to send but no window for them.
func (s *Session) stuckLocked() bool { return len(s.wbuf) > 0 && s.sent >= s.sendMax }

// nextFrameLocked appends the session's next frame: up to n bytes, or its end.
func (s *Session) nextFrameLocked(b []byte, n int) []byte {
	if len(s.wbuf) == 0 {
		s.fin = finSent
		return frame.AppendHeader(b, s.at.Load().Number, 0)
	}
	n = min(n, len(s.wbuf))
	if allowed := s.sendMax - s.sent; uint64(n) > allowed {
		n = int(allowed)
	}
	b = append(frame.AppendHeader(b, s.at.Load().Number, n), s.wbuf[:n]...)
	s.wbuf = s.wbuf[n:]
	s.sent += uint64(n)
	s.slot.left -= n
	if len(s.wbuf) == 0 {
		s.wcond.Broadcast()
	}
	return b
}
