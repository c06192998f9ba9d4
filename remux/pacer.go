package remux

import (
	"time"

	"tunnels/remux/internal/frame"
)

// pacer measures how fast the lower connection takes bytes and sizes the pieces by it.
// Large pieces cost less, for this end and for the application that each one wakes,
// but other sessions wait for them: a piece is as large as what leaves in a short
// time. Conn.mu guards it.
type pacer struct {
	since  time.Duration // age of the conn when the counting began
	bytes  int           // written since
	waited time.Duration // for the lower connection to take them
	rate   float64       // bytes per second that the sizes are based on

	quantum int // payload that a session may send before the next one follows
	batch   int // how much is written at a time
	queue   int // how much may wait unsent in the kernel
}

// recordFrame is the payload of a frame that is exactly one TLS record; a frame
// spread over two records, or a record with a few bytes of the next frame, costs the
// receiver one more system call. largeFrame is one of four records.
const (
	recordFrame = 16<<10 - frame.HeaderLen
	largeFrame  = 64<<10 - frame.HeaderLen
)

const (
	// paceEvery is how long bytes are counted.
	paceEvery = 5 * time.Millisecond

	// How much of the line's time a quantum, and the bytes in the kernel, may take.
	quantumTime = 500 * time.Microsecond
	queueTime   = time.Millisecond
	// slowTime is how much of the time of a line known to be slow a batch and the
	// queue may each take; they are small then.
	slowTime = 2 * time.Millisecond

	framesMax          = 4 // large ones in one quantum
	queueMin, queueMax = 128 << 10, 1 << 20
	queueSlow          = 16 << 10 // the least, on a slow line

	// batchMin is four frames of a record or one large one, and room for a few
	// control frames; batchMax is the same for a quantum of framesMax.
	batchRoom = 128
	batchMin  = 64<<10 + batchRoom
	batchMax  = framesMax*64<<10 + batchRoom
)

func newPacer() pacer { return pacer{quantum: recordFrame, batch: batchMin, queue: queueMin} }

// wrote counts n bytes written at age now. It reports whether queue has changed.
func (p *pacer) wrote(n int, now time.Duration) bool {
	took := now - p.since
	if took < paceEvery {
		p.bytes += n
		return false
	}
	rate := float64(p.bytes) / took.Seconds()
	slow := p.waited > took/2 // it was the line, not a lack of bytes
	p.since, p.bytes, p.waited = now, n, 0
	if !slow && rate <= p.rate {
		return false // there was less to write, which says nothing about the line
	}
	p.rate = rate

	frames := min(int(rate*quantumTime.Seconds())/largeFrame, framesMax)
	p.quantum = max(recordFrame, frames*largeFrame)
	p.batch = max(batchMin, frames*64<<10+batchRoom)
	queue, leave := queueMin, rate*queueTime.Seconds()
	if slow {
		leave = rate * slowTime.Seconds()
		records := min(max(int(leave)>>14, 1), 4)
		p.batch = max(records<<14, frames*64<<10) + batchRoom
		queue = queueSlow
	}
	for queue < queueMax && float64(queue) < leave {
		queue *= 2
	}
	if queue <= p.queue && queue >= p.queue/2 {
		return false
	}
	p.queue = queue
	return true
}
