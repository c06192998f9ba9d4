package remux

import (
	"math"
	"time"

	"tunnels/remux/internal/frame"
)

// flow is the window of one session: how much its peer was granted and whether it
// should get more. session.mu guards it.
type flow struct {
	budget *Budget
	max    int64

	limit    uint64 // payload bytes the peer may have sent since the opening
	received uint64
	read     uint64 // by the application, of those
	window   int64  // limit is kept up to that much ahead of read
	closed   bool   // the budget has its part back
	lazy     bool   // the first WINDOW waits for a frame to go out with

	// The window doubles, the budget permitting, when more than half of it was read at
	// a rate of a window in less than two round trips: then the window, and not the
	// sender or the reader, limits the session. The epoch is the time since this was
	// last checked.
	epoch     time.Time
	epochRead uint64
}

// rttFloor is the round trip that windows are sized for where the real one is
// shorter: on a fast line a small window costs a WINDOW frame, and two changes
// of goroutine, every 64 KiB.
const rttFloor = 2 * time.Millisecond

// stepMax is how far a large window may fall behind before the peer is granted more: a
// sender that uses all of it has that much less of it per round trip.
const stepMax = 4 << 20

// start sets the first limit: the floor, which takes nothing from the budget, or none
// at all towards a basic peer. The budget permitting, the first WINDOW raises it at
// once.
func (f *flow) start(cfg *Config, basic bool) {
	f.budget, f.max = cfg.Budget, int64(cfg.WindowMax)
	f.window = frame.Floor
	if basic {
		f.limit = math.MaxUint64
		return
	}
	if first := min(firstWindow, f.max); first > frame.Floor && f.budget.start(first-frame.Floor) {
		f.window = first
	}
	f.limit = uint64(f.window)
}

// consumed accounts for n bytes that the application took. It reports whether limit
// was raised and the peer should be told.
func (f *flow) consumed(n int, rtt time.Duration) bool {
	if f.epoch.IsZero() {
		f.epoch = time.Now()
	}
	f.read += uint64(n)
	if f.closed || f.limit == math.MaxUint64 {
		return false
	}
	first := f.lazy && f.read >= frame.Floor/4 // perhaps no frame has gone out, and the peer needs it soon
	f.lazy = f.lazy && !first
	if int64(f.limit-f.read) > f.window-min(f.window/4, stepMax) {
		return first
	}
	f.tune(rtt)
	f.limit = f.read + uint64(f.window)
	return true
}

func (f *flow) tune(rtt time.Duration) {
	read := int64(f.read - f.epochRead)
	if read <= f.window/2 {
		return
	}
	now := time.Now()
	part := float64(read) / float64(f.window)
	rtt = max(rtt, rttFloor)
	if now.Sub(f.epoch) < time.Duration(2*part*float64(rtt)) {
		f.window += f.budget.grow(min(f.window, f.max-f.window))
	}
	f.epoch, f.epochRead = now, f.read
}

// close returns to the budget the bytes that the window was granted.
func (f *flow) close() {
	if f.closed {
		return
	}
	f.closed = true
	f.budget.giveBack(f.window - frame.Floor)
}
