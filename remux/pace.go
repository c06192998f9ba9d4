package remux

import "time"

// pace is how fast the lower connection takes bytes, and what follows from it.
// Large pieces cost less, for this end and for the application that is woken by
// each, but whoever comes next waits for them: a piece is as large as what leaves
// in a short time. conn.mu guards it.
type pace struct {
	since  time.Duration // age of the conn when the counting began
	bytes  int           // written since
	waited time.Duration // for the lower connection to take them
	rate   float64       // bytes per second that the rest follows from

	turn  int // payload that a session may send in one turn
	batch int // how much is written at a time
	queue int // how much may wait unsent in the kernel
}

// recordFrame is the payload of a frame that is exactly one TLS record; a frame
// that is spread over two, or a record with a few bytes of the next one, costs the
// receiver a system call more. largeFrame is one of four records.
const (
	recordFrame = 16<<10 - headerLen
	largeFrame  = 64<<10 - headerLen
)

const (
	// paceEvery is how long bytes are counted.
	paceEvery = 5 * time.Millisecond

	// What a turn, and what waits in the kernel, may take of the line's time.
	turnTime  = 500 * time.Microsecond
	queueTime = time.Millisecond
	// slowTime is what a batch and the queue may each take of a line that is known
	// to be slow; they are small then.
	slowTime = 2 * time.Millisecond

	framesMax          = 4 // large ones in one turn
	queueMin, queueMax = 128 << 10, 1 << 20
	queueSlow          = 16 << 10 // the least, on a slow line

	// batchMin is four frames of a record or one large one, and room for a few
	// control frames; batchMax that for a turn of framesMax.
	batchRoom = 128
	batchMin  = 64<<10 + batchRoom
	batchMax  = framesMax*64<<10 + batchRoom
)

func newPace() pace { return pace{turn: recordFrame, batch: batchMin, queue: queueMin} }

// wrote counts n bytes that are written at age now; true: queue has changed.
func (p *pace) wrote(n int, now time.Duration) bool {
	took := now - p.since
	if took < paceEvery {
		p.bytes += n
		return false
	}
	rate := float64(p.bytes) / took.Seconds()
	slow := p.waited > took/2 // it was the line, not a lack of bytes
	p.since, p.bytes, p.waited = now, n, 0
	if !slow && rate <= p.rate {
		return false // there was less to write, which says nothing of the line
	}
	p.rate = rate

	frames := min(int(rate*turnTime.Seconds())/largeFrame, framesMax)
	p.turn = max(recordFrame, frames*largeFrame)
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
