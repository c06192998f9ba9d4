// Package flow bounds what waits and paces what is sent: the windows of sessions and the
// budget they share, the buffers for bytes that wait, and the size of the pieces that are
// read, written and sent in turn. It knows no conn.
package flow

import (
	"math"
	"time"

	"tunnels/remux/internal/frame"
)

// Window is the window of one session: how much its peer was granted and whether it
// should get more. The owner locks.
type Window struct {
	Budget *Budget // static
	max    int64

	Limit    uint64 // payload bytes the peer may have sent since the opening
	Received uint64
	read     uint64 // by the application, of those
	size     int64  // limit is kept up to that much ahead of read
	closed   bool   // the budget has its part back
	Lazy     bool   // the first WINDOW waits for a frame to go out with

	// The window doubles, the budget permitting, when more than half of it was read at
	// a rate of a window in less than two round trips: then the window, and not the
	// sender or the reader, limits the session. The epoch is the time since this was
	// last checked.
	epoch     time.Time
	epochRead uint64
}

// FirstWindow is the size to which a session's window is raised as soon as it has been
// opened, if the budget allows.
const FirstWindow = 256 << 10

// rttFloor is the round trip that windows are sized for where the real one is
// shorter: on a fast line a small window costs a WINDOW frame, and two changes
// of goroutine, every 64 KiB.
const rttFloor = 2 * time.Millisecond

// stepMax is how far a large window may fall behind before the peer is granted more: a
// sender that uses all of it has that much less of it per round trip.
const stepMax = 4 << 20

// Start sets the first limit: the floor, which takes nothing from the budget, or none
// at all towards a basic peer. The budget permitting, the first WINDOW raises it at
// once.
func (f *Window) Start(budget *Budget, most int64, basic bool) {
	f.Budget, f.max = budget, most
	f.size = frame.Floor
	if basic {
		f.Limit = math.MaxUint64
		return
	}
	if first := min(FirstWindow, f.max); first > frame.Floor && f.Budget.start(first-frame.Floor) {
		f.size = first
	}
	f.Limit = uint64(f.size)
}

// Consumed accounts for n bytes that the application took. It reports whether limit
// was raised and the peer should be told.
func (f *Window) Consumed(n int, rtt time.Duration) bool {
	if f.epoch.IsZero() {
		f.epoch = time.Now()
	}
	f.read += uint64(n)
	if f.closed || f.Limit == math.MaxUint64 {
		return false
	}
	first := f.Lazy && f.read >= frame.Floor/4 // perhaps no frame has gone out, and the peer needs it soon
	f.Lazy = f.Lazy && !first
	if int64(f.Limit-f.read) > f.size-min(f.size/4, stepMax) {
		return first
	}
	f.tune(rtt)
	f.Limit = f.read + uint64(f.size)
	return true
}

func (f *Window) tune(rtt time.Duration) {
	read := int64(f.read - f.epochRead)
	if read <= f.size/2 {
		return
	}
	now := time.Now()
	part := float64(read) / float64(f.size)
	rtt = max(rtt, rttFloor)
	if now.Sub(f.epoch) < time.Duration(2*part*float64(rtt)) {
		f.size += f.Budget.grow(min(f.size, f.max-f.size))
	}
	f.epoch, f.epochRead = now, f.read
}

// Close returns to the budget the bytes that the window was granted.
func (f *Window) Close() {
	if f.closed {
		return
	}
	f.closed = true
	f.Budget.giveBack(f.size - frame.Floor)
}
