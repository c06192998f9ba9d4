package flow

import "sync/atomic"

// Budget bounds the memory of the sessions that share it. It counts the bytes that their
// windows grant beyond the floor of 64 KiB per session, and the bytes actually buffered
// for applications. It is safe for concurrent use.
type Budget struct {
	Limit   int64        // immutable after creation
	granted atomic.Int64 // bytes granted to windows beyond their floors
	waiting atomic.Int64 // bytes received and not yet read
	peak    atomic.Int64 // approximate peak of waiting
}

// Usage returns the number of bytes buffered for applications, its approximate peak since
// the last call, and the number of bytes granted to windows beyond their floors.
func (b *Budget) Usage() (waiting, peak, granted int64) {
	waiting = b.waiting.Load()
	return waiting, max(b.peak.Swap(waiting), waiting), b.granted.Load()
}

// start reserves n bytes for the first grant of a session. It may use only the first half
// of the budget: thousands of idle sessions must not use up what the few busy ones need
// to grow.
func (b *Budget) start(n int64) bool {
	for {
		used := b.granted.Load()
		if used+n > b.Limit/2 {
			return false
		}
		if b.granted.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// grow reserves up to n bytes for a growing window, and returns how many: at most a
// quarter of the free ones, so that the next session also has room to grow.
func (b *Budget) grow(n int64) int64 {
	for {
		used := b.granted.Load()
		part := max(0, min(n, (b.Limit-used)/4))
		if b.granted.CompareAndSwap(used, used+part) {
			return part
		}
	}
}

// giveBack releases bytes reserved by start and grow.
func (b *Budget) giveBack(n int64) { b.granted.Add(-n) }

// Take accounts for n more buffered bytes, or returns false and changes nothing if there
// is no room for them. Every session is promised its floor, however many there are; Take
// limits their total.
func (b *Budget) Take(n int) bool {
	now := b.waiting.Add(int64(n))
	if now > b.Limit {
		b.waiting.Add(int64(-n))
		return false
	}
	if now > b.peak.Load() {
		b.peak.Store(now) // if a race loses a new peak, the next call records it
	}
	return true
}

// Free accounts for n bytes that were read or dropped.
func (b *Budget) Free(n int) { b.waiting.Add(int64(-n)) }
