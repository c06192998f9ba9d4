package remux

// The turns in which sessions put their bytes on the conn. Each gets a quantum,
// which is pace's to say, then the next one; a session that has just become active goes first, once, so
// that a keystroke waits for the batch on its way and not for every download's
// turn. A session whose bytes have all gone keeps its place until its turn
// comes: a download whose next bytes arrive meanwhile is not new.

// turn is a session's place in the scheduler. conn.mu guards it.
type turn struct {
	next  *Session
	where place
	left  int // of the quantum
}

type place uint8

const (
	nowhere place = iota
	inFresh
	inRest
)

// scheduler holds the sessions that may have something to send. conn.mu guards
// it.
type scheduler struct {
	fresh, rest queue
	quantum     int // payload bytes a session may send in one turn
}

type queue struct{ head, tail *Session }

func (q *queue) push(s *Session, where place) {
	s.turn.where, s.turn.next = where, nil
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.turn.next = s
	}
	q.tail = s
}

func (q *queue) pop() *Session {
	s := q.head
	q.head = s.turn.next
	if q.head == nil {
		q.tail = nil
	}
	s.turn.where, s.turn.next = nowhere, nil
	return s
}

// add puts s in line, if it is not.
func (q *scheduler) add(s *Session) {
	if s.turn.where == nowhere {
		s.turn.left = q.quantum
		q.fresh.push(s, inFresh)
	}
}

func (q *scheduler) empty() bool { return q.fresh.head == nil && q.rest.head == nil }

// fill appends the frames of whoever's turn it is to b, up to its capacity. It
// calls sent for every session after each of its frames.
func (q *scheduler) fill(b []byte, maxFrame int, sent func(*Session, []byte) []byte) []byte {
	begin := len(b)
	for cap(b)-len(b) > headerLen+windowLen {
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
		case s.turn.left <= 0:
			s.turn.left += q.quantum
			from.pop()
			q.rest.push(s, inRest)
		default:
			room := cap(b) - len(b) - headerLen - windowLen
			s.turn.left = min(s.turn.left, q.quantum)
			if room < recordFrame && room < min(len(s.wbuf), s.turn.left, maxFrame) && len(b) > begin {
				return b // a frame cut short here would shift all that follow
			}
			b = s.nextFrameLocked(b, min(room, s.turn.left, maxFrame, largeFrame))
			b = sent(s, b)
		}
	}
	return b
}

// hasWorkLocked: there is a frame to be sent.
func (s *Session) hasWorkLocked() bool { return len(s.wbuf) > 0 || s.fin == finWanted }

// stuckLocked: there are bytes, but the peer allows none.
func (s *Session) stuckLocked() bool { return len(s.wbuf) > 0 && s.sent >= s.sendMax }

// nextFrameLocked appends the session's next frame: up to n bytes, or its end.
func (s *Session) nextFrameLocked(b []byte, n int) []byte {
	if len(s.wbuf) == 0 {
		s.fin = finSent
		return appendHeader(b, s.number, 0)
	}
	n = min(n, len(s.wbuf))
	if allowed := s.sendMax - s.sent; uint64(n) > allowed {
		n = int(allowed)
	}
	b = append(appendHeader(b, s.number, n), s.wbuf[:n]...)
	s.wbuf = s.wbuf[n:]
	s.sent += uint64(n)
	s.turn.left -= n
	if len(s.wbuf) == 0 {
		s.wcond.Broadcast()
	}
	return b
}
