package flow

import (
	"time"

	"tunnels/remux/internal/frame"
)

// Pacer measures how fast the lower connection accepts bytes and sizes the pieces
// accordingly. Large pieces cost less, both at this end and in the application that each
// one wakes, but they delay other sessions. So a piece is as large as the line can send
// in a short time. The owner does the locking.
type Pacer struct {
	since  time.Duration // age of the conn when counting began
	bytes  int           // written since then
	Waited time.Duration // time the lower connection took to accept them
	rate   float64       // bytes per second that the sizes are based on

	Quantum int // payload that a session may send per turn
	Batch   int // how much is written at a time
	Queue   int // how much may be queued unsent in the kernel
}

// RecordFrame is the payload of a frame that is exactly one TLS record; a frame spread
// over two records, or a record with a few bytes of the next frame, costs the receiver an
// extra system call. LargeFrame is the same for a frame of four records.
const (
	RecordFrame = 16<<10 - frame.HeaderLen
	LargeFrame  = 64<<10 - frame.HeaderLen
)

const (
	// paceEvery is how long bytes are counted for one measurement.
	paceEvery = 5 * time.Millisecond

	// How long the line may need to send a quantum, or the bytes queued in the kernel.
	quantumTime = 500 * time.Microsecond
	queueTime   = time.Millisecond
	// slowTime is how long a slow line may need to send a batch or the queue, both of
	// which are then small.
	slowTime = 2 * time.Millisecond

	FramesMax          = 4 // large frames in one quantum
	queueMin, queueMax = 128 << 10, 1 << 20
	queueSlow          = 16 << 10 // minimum on a slow line

	// BatchMin has room for four frames of one record each, or for one large frame, and
	// for a few control frames; BatchMax has room for FramesMax large frames instead.
	BatchRoom = 128
	BatchMin  = 64<<10 + BatchRoom
	BatchMax  = FramesMax*64<<10 + BatchRoom
)

// NewPacer returns a pacer with the sizes for a line that has not been measured yet.
func NewPacer() Pacer { return Pacer{Quantum: RecordFrame, Batch: BatchMin, Queue: queueMin} }

// Wrote counts n bytes written at age now. It reports whether Queue has changed.
func (p *Pacer) Wrote(n int, now time.Duration) bool {
	took := now - p.since
	if took < paceEvery {
		p.bytes += n
		return false
	}
	rate := float64(p.bytes) / took.Seconds()
	slow := p.Waited > took/2 // the line was the bottleneck, not a lack of bytes to send
	p.since, p.bytes, p.Waited = now, n, 0
	if !slow && rate <= p.rate {
		return false // too few bytes were written to judge the line by
	}
	p.rate = rate

	frames := min(int(rate*quantumTime.Seconds())/LargeFrame, FramesMax)
	p.Quantum = max(RecordFrame, frames*LargeFrame)
	p.Batch = max(BatchMin, frames*64<<10+BatchRoom)
	queue, leave := queueMin, rate*queueTime.Seconds()
	if slow {
		leave = rate * slowTime.Seconds()
		records := min(max(int(leave)>>14, 1), 4)
		p.Batch = max(records<<14, frames*64<<10) + BatchRoom
		queue = queueSlow
	}
	for queue < queueMax && float64(queue) < leave {
		queue *= 2
	}
	if queue <= p.Queue && queue >= p.Queue/2 {
		return false
	}
	p.Queue = queue
	return true
}
