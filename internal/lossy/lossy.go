// Package lossy writes lines without blocking its callers. Lines go through a bounded
// queue to a single writer; those that do not fit are dropped and counted.
package lossy

import (
	"sync"
	"time"
)

// overhead is the cost of a queue entry in addition to its bytes.
const overhead = 64

// Queue passes lines to a function that may block. Its methods may be called from any
// goroutine and, except for Flush and Close, never block.
//
// The writer is a goroutine that runs only while there is something to write,
// so an idle Queue has none.
type Queue struct {
	max   int               // maximum number of bytes waiting
	write func(line []byte) // called only by the writer
	lost  func(n int)       // called only by the writer; may be nil

	mu      sync.Mutex    // guards the fields below; never held during I/O
	entries []entry       // waiting entries
	size    int           // size of entries, in bytes
	dropped int           // lines dropped since entries became full
	idle    chan struct{} // closed when the writer exits; nil if none is running
	closed  bool
}

// entry is a line or, if do is set, a function to call.
type entry struct {
	line []byte
	do   func()
}

// New returns a Queue that holds up to max bytes; the writer may hold the same amount
// again. The writer calls write for each line. Where lines were dropped, it calls lost,
// if not nil, with their number.
func New(max int, write func(line []byte), lost func(n int)) *Queue {
	return &Queue{max: max, write: write, lost: lost}
}

// Put queues a copy of line. It returns false, dropping the line, if there is no room
// or the Queue is closed.
func (q *Queue) Put(line []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	size := len(line) + overhead
	if q.size+size > q.max {
		q.dropped++
		return false
	}
	q.add(entry{line: append([]byte(nil), line...)}, size)
	return true
}

// Do queues a function, which the writer calls between the lines queued before and
// after it. Such calls are never dropped, so callers must limit how many they queue. Do
// returns false if the Queue is closed.
func (q *Queue) Do(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.add(entry{do: f}, 0)
	return true
}

// add queues e and starts the writer if it is not running. The caller holds mu.
func (q *Queue) add(e entry, size int) {
	q.entries = append(q.entries, e)
	q.size += size
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.run()
	}
}

// run is the writer goroutine. It exits when the queue is empty.
func (q *Queue) run() {
	for {
		entries, dropped := q.take()
		if entries == nil && dropped == 0 {
			return
		}
		for _, e := range entries {
			if e.do != nil {
				e.do()
			} else {
				q.write(e.line)
			}
		}
		if dropped > 0 && q.lost != nil {
			q.lost(dropped)
		}
	}
}

// take removes and returns all entries, and the number of lines dropped after them. If
// there are neither, it marks the writer as stopped.
func (q *Queue) take() ([]entry, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries, dropped := q.entries, q.dropped
	q.entries, q.size, q.dropped = nil, 0, 0
	if entries == nil && dropped == 0 {
		close(q.idle)
		q.idle = nil
	}
	return entries, dropped
}

// Flush waits up to limit until everything queued so far has been written, and reports
// whether it was.
func (q *Queue) Flush(limit time.Duration) bool {
	done := make(chan struct{})
	if !q.Do(func() { close(done) }) {
		return q.Close(limit)
	}
	return wait(done, limit)
}

// Idle reports whether everything queued so far has been written and the writer has
// exited.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle == nil
}

// Close makes Put and Do fail from now on, and waits like Flush. A stuck writer is
// abandoned; it exits once it can.
func (q *Queue) Close(limit time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	idle := q.idle
	q.mu.Unlock()
	return idle == nil || wait(idle, limit)
}

// wait reports whether c was closed within limit.
func wait(c <-chan struct{}, limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}
