// Package flow limits buffering and paces sending: the windows of sessions and the budget
// they share, the buffers for unread bytes, and the sizes in which bytes are read,
// written and scheduled. It is independent of package conn.
package flow

import (
	"math"
	"time"

	"tunnels/remux/internal/frame"
)

// Window is the receive window of one session: how much its peer has been granted and
// whether to grant more. The owner does the locking.
type Window struct {
	Budget *Budget // set by Start, then read-only
	max    int64

	Limit    uint64 // payload bytes the peer may send, counted from when the session was opened
	Received uint64
	read     uint64 // payload bytes the application has read
	size     int64  // Limit is kept up to this far ahead of read
	closed   bool   // its share has been returned to the budget
	Lazy     bool   // the first WINDOW waits for the next frame to go out

	// The window doubles, budget permitting, when more than half of it was read at a rate
	// above one window per two round trips: then the window is the bottleneck, not the
	// sender or the reader. The epoch is the time since this was last checked.
	epoch     time.Time
	epochRead uint64
}

// FirstWindow is the size to which a session's window is raised as soon as it is open, if
// the budget allows.
const FirstWindow = 256 << 10

// rttFloor is the shortest round trip that windows are sized for, because on a fast line
// a small window costs a WINDOW frame and two goroutine switches every 64 KiB.
const rttFloor = 2 * time.Millisecond

// stepMax is how far the limit of a large window may lag before the peer is granted more:
// a sender that uses the whole window loses that much of it per round trip.
const stepMax = 4 << 20

// Start sets the initial limit. A basic peer has none; for any other peer it is the
// floor, which takes nothing from the budget and, budget permitting, is raised
// immediately by the first WINDOW.
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

// Consumed accounts for n bytes read by the application. It reports whether to send the
// peer a WINDOW with the current Limit.
func (f *Window) Consumed(n int, rtt time.Duration) bool {
	if f.epoch.IsZero() {
		f.epoch = time.Now()
	}
	f.read += uint64(n)
	if f.closed || f.Limit == math.MaxUint64 {
		return false
	}
	first := f.Lazy && f.read >= frame.Floor/4 // perhaps no frame has been sent since, and the peer will need the WINDOW soon
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

// Close returns the bytes granted to the window to the budget.
func (f *Window) Close() {
	if f.closed {
		return
	}
	f.closed = true
	f.Budget.giveBack(f.size - frame.Floor)
}
