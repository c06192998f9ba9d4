package loglines

import (
	"cmp"
	"container/list"
	"fmt"
	"sync"
	"time"

	"tunnels/sla"
)

const (
	// sameEvery is how long repeats of a refusal are counted before the count is
	// logged.
	sameEvery = 10 * time.Second
	// linesMax is how many different refusals for one client are logged separately
	// within sameEvery; the rest share one line with a count.
	linesMax = 32
	// seenMax is how many refusals are remembered, in total for all clients.
	seenMax = 4096
	// others replaces the client's name once seenMax is reached.
	others = "(others)"
)

// refusals logs refused requests, counting repeats instead of logging each.
type refusals struct {
	log  *sla.Logger // immutable
	lead string      // immutable; prefix of each line

	mu      sync.Mutex
	seen    map[refusal]*list.Element // guarded by mu; elements of order
	order   list.List                 // guarded by mu; elements are *logged, oldest first
	clients map[string]int            // guarded by mu; number of elements per client
	timer   *time.Timer               // guarded by mu; nil if not set
	over    bool                      // guarded by mu; close was called
	running sync.WaitGroup            // timer calls pending or running
}

// refusal is the key that identifies repeated refusals.
type refusal struct {
	client string
	why    string // target and rule; empty for refusals beyond linesMax
}

// logged is a refusal that has been logged.
type logged struct {
	refusal
	at   time.Time
	more int // repeats since it was logged
}

// newRefusals returns a refusals whose lines start with lead and the client's name.
func newRefusals(log *sla.Logger, lead string) *refusals {
	return &refusals{log: log, lead: lead, seen: map[refusal]*list.Element{}, clients: map[string]int{}}
}

// client logs a client's refused request. The client's name is empty if it has no
// certificate.
func (r *refusals) client(client string, why error) {
	r.add(cmp.Or(client, "without a certificate"), why)
}

// add logs a refusal, or counts it if the same one was logged recently.
func (r *refusals) add(client string, err error) {
	key := refusal{client, err.Error()}
	if r.isNew(key) {
		r.log.Warn("%s %s: %s", r.lead, key.client, key.why)
	}
}

// isNew reports whether to log the refusal now. If not, it counts the refusal, and the
// count is logged later.
func (r *refusals) isNew(key refusal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[key] == nil && r.clients[key.client] >= linesMax {
		key = refusal{client: key.client}
	}
	if r.seen[key] == nil && len(r.seen) >= seenMax {
		key = refusal{client: others}
	}
	if e := r.seen[key]; e != nil {
		e.Value.(*logged).more++
		return false
	}
	s := &logged{refusal: key, at: time.Now()}
	if key.why == "" {
		s.more = 1 // count it instead of logging it
	}
	r.seen[key] = r.order.PushBack(s)
	r.clients[key.client]++
	r.setTimerLocked()
	return s.more == 0
}

// setTimerLocked sets the timer that calls due once the first element of order may be
// logged again.
func (r *refusals) setTimerLocked() {
	e := r.order.Front()
	if r.timer != nil || e == nil || r.over {
		return
	}
	r.running.Add(1)
	r.timer = time.AfterFunc(time.Until(e.Value.(*logged).at.Add(sameEvery)), func() {
		defer r.running.Done()
		r.due()
	})
}

// due logs repeat counts for refusals last logged at least sameEvery ago, and forgets
// those that were not repeated.
func (r *refusals) due() {
	r.mu.Lock()
	r.timer = nil
	more := r.takeLocked(time.Now().Add(-sameEvery))
	r.setTimerLocked()
	r.mu.Unlock()
	r.logCounts(more)
}

// takeLocked removes the refusals last logged before or at until. It returns the
// repeated ones and resets their counts to 0.
func (r *refusals) takeLocked(until time.Time) (more []logged) {
	var again []*logged
	for e := r.order.Front(); e != nil && !e.Value.(*logged).at.After(until); e = r.order.Front() {
		s := e.Value.(*logged)
		r.order.Remove(e)
		delete(r.seen, s.refusal)
		if r.clients[s.client]--; r.clients[s.client] == 0 {
			delete(r.clients, s.client)
		}
		if s.more > 0 {
			more = append(more, *s)
			if s.why != "" {
				again = append(again, s)
			}
		}
	}
	for _, s := range again {
		s.at, s.more = time.Now(), 0
		r.seen[s.refusal] = r.order.PushBack(s)
		r.clients[s.client]++
	}
	return more
}

// logCounts logs the counts of repeated refusals.
func (r *refusals) logCounts(more []logged) {
	for _, s := range more {
		if s.why == "" {
			r.log.Warn("%s %s: %d more requests, for other targets or reasons", r.lead, s.client, s.more)
			continue
		}
		times := "once more"
		if s.more > 1 {
			times = fmt.Sprintf("%d more times", s.more)
		}
		r.log.Warn("%s %s: %s (%s)", r.lead, s.client, s.why, times)
	}
}

// close logs the remaining counts and waits for pending timer calls.
func (r *refusals) close() {
	r.mu.Lock()
	r.over = true
	if r.timer != nil && r.timer.Stop() {
		r.running.Done()
	}
	r.timer = nil
	more := r.takeLocked(time.Now())
	r.mu.Unlock()
	r.logCounts(more)
	r.running.Wait()
}
