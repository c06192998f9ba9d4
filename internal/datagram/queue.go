package datagram

import (
	"encoding/binary"
	"sync"
)

// queueMax limits the bytes queued for the session. A longer queue would only deliver
// datagrams too late.
const queueMax = 256 << 10

// queue holds the records waiting for the session. It holds memory only while it is not
// empty.
type queue struct {
	mu      sync.Mutex
	more    sync.Cond // uses mu; signaled when there are records or the queue has ended
	buf     []byte    // guarded by mu; complete records with their lengths
	head    int       // guarded by mu; start of the oldest record in buf
	dropped uint64    // guarded by mu
	ended   bool      // guarded by mu
}

func newQueue() *queue {
	q := &queue{}
	q.more.L = &q.mu
	return q
}

// put appends a record, dropping the oldest ones if there is no room. It also drops
// data too large for a record. After end it does nothing.
func (q *queue) put(t Target, data []byte) {
	size := t.headerSize() + len(data)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.ended:
		return
	case size > recordMax:
		q.dropped++
		return
	}
	for len(q.buf)-q.head+2+size > queueMax {
		q.head += q.oldestLocked()
		q.dropped++
	}
	q.makeRoomLocked(2 + size)
	q.buf = binary.BigEndian.AppendUint16(q.buf, uint16(size))
	q.buf = t.appendHeader(q.buf)
	q.buf = append(q.buf, data...)
	q.more.Signal()
}

// oldestLocked returns the size of the oldest record.
func (q *queue) oldestLocked() int {
	return 2 + int(binary.BigEndian.Uint16(q.buf[q.head:]))
}

// makeRoomLocked ensures that n bytes can be appended. It moves the queued bytes only
// if that frees more bytes than it moves.
func (q *queue) makeRoomLocked(n int) {
	waiting := len(q.buf) - q.head
	switch {
	case q.buf == nil:
		q.buf = getBuffer()[:0]
	case cap(q.buf)-len(q.buf) >= n:
	case q.head > waiting && cap(q.buf)-waiting >= n:
		q.buf = append(q.buf[:0], q.buf[q.head:]...)
		q.head = 0
	default:
		larger := make([]byte, 0, min(2*cap(q.buf), 2*queueMax))
		larger = append(larger, q.buf[q.head:]...)
		q.releaseLocked()
		q.buf = larger
	}
}

// releaseLocked frees the buffer.
func (q *queue) releaseLocked() {
	if cap(q.buf) == len(buffer{}) {
		putBuffer((*buffer)(q.buf[:cap(q.buf)]))
	}
	q.buf, q.head = nil, 0
}

// wait waits for records and returns false once there will be no more.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.buf) == q.head && !q.ended {
		q.more.Wait()
	}
	return len(q.buf) > q.head
}

// take fills b with as many of the oldest records as fit and returns their size in
// bytes.
func (q *queue) take(b *buffer) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := q.head
	for end < len(q.buf) {
		next := end + 2 + int(binary.BigEndian.Uint16(q.buf[end:]))
		if next-q.head > len(b) {
			break
		}
		end = next
	}
	n := copy(b[:], q.buf[q.head:end])
	q.head = end
	if q.head == len(q.buf) {
		q.releaseLocked()
	}
	return n
}

// end makes the queue accept no more records; queued ones can still be taken.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.more.Broadcast()
}

// drops returns the number of dropped records.
func (q *queue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
