package splice

import (
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/netx"
)

// Ender is an end that reports when it has ended, even with no Read or Write in
// progress.
type Ender interface {
	// OnEnd arranges for f to be called once, when data written to this end can no
	// longer arrive. err is nil after a clean end; whole reports whether everything the
	// end sent has arrived and can be read. f must not block, and OnEnd may call it
	// before returning. If OnEnd returns false, the end cannot report this and never
	// calls f.
	OnEnd(f func(err error, whole bool)) bool
}

// Time limits for delivering the data that an end sent before it was lost.
const (
	stallMax = 3 * time.Second  // without the other end accepting any data
	lostMax  = 10 * time.Second // in total, if the data is incomplete anyway
	// orphanMax replaces stallMax after a clean end. The target may be slow; a kernel
	// also waits about this long to deliver an exited process's data.
	orphanMax = time.Minute
)

// timers holds a join's timers. stopTimers waits for those that are running.
type timers struct {
	mu   sync.Mutex
	over bool           // guarded by mu
	all  [3]*time.Timer // guarded by mu; one per end, set by await
	tick [3]*time.Timer // guarded by mu; one per end, set by its guard
	wg   sync.WaitGroup // timers set or running
}

// set schedules f to run after d and stores its timer in slot, replacing any timer
// there.
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

// stopTimers stops all timers and waits for running ones.
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

// listen arranges for the join to learn when d's source ends, through its OnEnd if it has one and
// otherwise through a guard.
func (j *join) listen(d *direction) {
	from := j.ends[d.from]
	if e, ok := from.(Ender); ok && e.OnEnd(func(err error, whole bool) { j.onEnd(d.from, err, whole) }) {
		return
	}
	// Data that a target sent before its reset is delivered no matter how long that
	// takes, so a target needs no guard.
	d.guarded = j.why[d.from] != code.TargetReset && hasSocket(from)
}

// onEnd records that data written to end e can no longer arrive. Data sent by e is
// delivered as long as the other end keeps accepting it; then both are aborted.
func (j *join) onEnd(e End, err error, whole bool) {
	target := j.why[e] == code.Cancelled // the other end is a target, not an application
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
	case coded && why != code.TargetReset && !whole: // a reset, so nothing is left to deliver
		until = time.Now()
	case err == nil:
		j.wakeFor(e)
		if !target {
			return // an application may pause for any length of time
		}
		stall = orphanMax
	case !target && (whole || why == code.TargetReset):
		return // pausing a download that has fully arrived is not a failure either
	case !whole:
		until = time.Now().Add(lostMax)
	}
	j.await(e, err, stall, until)
}

// await fails the join once the other end has accepted no data from e for stall, not
// counting time spent on rate limiting, or at until if that is not zero.
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
			j.fail(A+B-e, &code.Error{Code: code.Timeout, Text: "accepted no data for " + stall.String()})
			return
		}
		j.fail(e, err)
	})
}

// taken returns a number that changes whenever the other end accepts data from e. A
// blocked write to a socket resumes only once much of the kernel's buffer is free,
// which can take a slow peer a long time, so bytes acknowledged by the peer also count
// if the kernel reports them.
func (j *join) taken(e End) uint64 {
	sent, _ := netx.Progress(j.ends[A+B-e])
	return uint64(j.ways[e].moved.Load()) + sent.Moved
}

// isGone reports whether e has ended cleanly and accepts no more data.
func (j *join) isGone(e End) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gone[e]
}

// wakeFor interrupts the reader of the other end if e has ended cleanly and all its
// data is delivered, because anything read from now on could not reach e.
func (j *join) wakeFor(e End) {
	j.mu.Lock()
	over := j.gone[e] && j.ended[e]
	j.mu.Unlock()
	if over {
		_ = j.ends[A+B-e].SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
	}
}
