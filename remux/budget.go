package remux

import "sync/atomic"

// DefaultBudget is what Config.Budget stands for when it is nil.
const DefaultBudget = 256 << 20

// Budget bounds what the sessions that share it may take of memory. It counts
// two things: what their windows grant beyond the floor of 64 KiB that every
// session has, and the bytes that really wait for applications. It is safe for
// concurrent use.
type Budget struct {
	limit   int64
	granted atomic.Int64 // bytes of windows beyond the floors
	waiting atomic.Int64 // bytes received and not yet read
	peak    atomic.Int64 // of waiting, about
}

// NewBudget is a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Waiting is how many bytes wait for applications now.
func (b *Budget) Waiting() int64 { return b.waiting.Load() }

// Peak is about how many bytes waited at most since the last call of Peak.
func (b *Budget) Peak() int64 { return b.peak.Swap(b.waiting.Load()) }

// Granted is what all windows grant beyond their floors now.
func (b *Budget) Granted() int64 { return b.granted.Load() }

// start takes n bytes for the first grant of a session. The second half of the
// budget is out of its reach: thousands of idle sessions must not use up what
// the few busy ones need to grow.
func (b *Budget) start(n int64) bool {
	for {
		used := b.granted.Load()
		if used+n > b.limit/2 {
			return false
		}
		if b.granted.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// grow takes up to n bytes for a window that grows, and says how many: at most a
// quarter of what is free, so that the next session finds room to grow too.
func (b *Budget) grow(n int64) int64 {
	for {
		used := b.granted.Load()
		part := max(0, min(n, (b.limit-used)/4))
		if b.granted.CompareAndSwap(used, used+part) {
			return part
		}
	}
}

// giveBack returns what start and grow took.
func (b *Budget) giveBack(n int64) { b.granted.Add(-n) }

// take accounts for n bytes that begin to wait; false: there is no room for
// them, and nothing was taken. Floors are promised to every session whatever
// their number, so this is what bounds them all together.
func (b *Budget) take(n int) bool {
	now := b.waiting.Add(int64(n))
	if now > b.limit {
		b.waiting.Add(int64(-n))
		return false
	}
	if now > b.peak.Load() {
		b.peak.Store(now) // a rise that is lost in a race comes again with the next bytes
	}
	return true
}

// free accounts for n bytes that were read or dropped.
func (b *Budget) free(n int) { b.waiting.Add(int64(-n)) }
