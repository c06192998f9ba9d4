package splice

import (
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/netx"
)

// Ender is an end that tells when it has ended, although nobody reads from it or
// writes to it.
type Ender interface {
	// OnEnd has f called once, when nothing that is written to the end can arrive any
	// more: err is nil after a clean end; whole reports whether all it had to say has
	// arrived and can be read. f does not block. OnEnd may call f itself. It returns
	// false, and never calls f, if it cannot tell.
	OnEnd(f func(err error, whole bool)) bool
}

// How long what an end said before it was lost may take to be delivered.
const (
	stallMax = 3 * time.Second  // with the other end taking nothing meanwhile
	lostMax  = 10 * time.Second // in all, where its end is missing anyway
	// orphanMax is stallMax for what ended cleanly: a target may be slow, and a
	// system that delivers for a process which has ended is as patient.
	orphanMax = time.Minute
)

// timers are the timers of a join. stop waits for those that are running.
type timers struct {
	mu   sync.Mutex
	over bool           // guarded by mu
	all  [3]*time.Timer // guarded by mu; of each end, the one that waits for it
	tick [3]*time.Timer // guarded by mu; of each end's guard
	wg   sync.WaitGroup // the timers that are set
}

// set has f called after d, in place of what slot had called.
func (t *timers) set(slot **time.Timer, d time.Duration, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if *slot != nil && (*slot).Stop() {
		t.wg.Done()
	}
	t.wg.Add(1)
	*slot = time.AfterFunc(d, func() {
		defer t.wg.Done()
		f()
	})
}

// stopTimers ends all timers.
func (j *join) stopTimers() {
	t := &j.timers
	t.mu.Lock()
	t.over = true
	for _, slots := range [...][3]*time.Timer{t.all, t.tick} {
		for _, timer := range slots {
			if timer != nil && timer.Stop() {
				t.wg.Done()
			}
		}
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// listen has the join told when the source of d ends.
func (j *join) listen(d *direction) {
	from := j.ends[d.from]
	if e, ok := from.(Ender); ok && e.OnEnd(func(err error, whole bool) { j.onEnd(d.from, err, whole) }) {
		return
	}
	// What a target said before it was reset is delivered however long the other end
	// takes.
	d.guarded = j.why[d.from] != code.TargetReset && hasSocket(from)
}

// onEnd notes that nothing written to end e arrives any more. What e has said is
// delivered for as long as the other end takes it; then both are aborted.
func (j *join) onEnd(e End, err error, whole bool) {
	target := j.why[e] == code.Cancelled // the other end is one, and not an application
	j.mu.Lock()
	if j.lost[e] && !j.gone[e] || j.err != nil {
		j.mu.Unlock()
		return
	}
	j.lost[e], j.gone[e] = true, err == nil
	j.mu.Unlock()

	stall, until := stallMax, time.Time{}
	why, coded := code.Of(err)
	switch {
	case coded && why != code.TargetReset && !whole: // a reset: nothing is left to be delivered
		until = time.Now()
	case err == nil:
		j.wakeFor(e)
		if !target {
			return // an application may pause for as long as it likes
		}
		stall = orphanMax
	case !target && (whole || why == code.TargetReset):
		return // likewise: a paused download that is complete is no failure
	case !whole:
		until = time.Now().Add(lostMax)
	}
	j.await(e, err, stall, until)
}

// await gives end e up once the other end has taken nothing for stall, though no rate
// held it back, or at until.
func (j *join) await(e End, err error, stall time.Duration, until time.Time) {
	taken := j.taken(e)
	wait := stall
	if left := time.Until(until); !until.IsZero() && left < stall {
		wait = left
	}
	j.timers.set(&j.timers.all[e], wait, func() {
		late := !until.IsZero() && !time.Now().Before(until)
		if (j.taken(e) != taken || j.ways[e].throttled()) && !late {
			j.await(e, err, stall, until)
			return
		}
		if err == nil {
			j.fail(A+B-e, &code.Error{Code: code.Timeout, Text: "took no bytes for " + stall.String()})
			return
		}
		j.fail(e, err)
	})
}

// taken is a number that changes whenever the other end has taken something that e
// said. A write to a socket goes on only when much of the system's buffer is free,
// which may take a slow peer long: where the system tells, what the peer's has
// acknowledged counts.
func (j *join) taken(e End) uint64 {
	sent, _ := netx.Progress(j.ends[A+B-e])
	return uint64(j.ways[e].moved.Load()) + sent.Moved
}

// isGone reports whether e ended cleanly and takes no more bytes.
func (j *join) isGone(e End) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gone[e]
}

// wakeFor ends the reading from the other end, if e has ended cleanly with all
// delivered: nothing that is read can reach it.
func (j *join) wakeFor(e End) {
	j.mu.Lock()
	over := j.gone[e] && j.ended[e]
	j.mu.Unlock()
	if over {
		_ = j.ends[A+B-e].SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
	}
}
