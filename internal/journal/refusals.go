package journal

import (
	"cmp"
	"container/list"
	"fmt"
	"sync"
	"time"

	"tunnels/sla"
)

const (
	// sameEvery is how long the same refusal is not logged again; how often it
	// happened meanwhile is said then.
	sameEvery = 10 * time.Second
	// linesMax is how many refusals of one client are logged one by one in that
	// time; the others are counted on one line.
	linesMax = 32
	// seenMax is how many are remembered of all clients together.
	seenMax = 4096
	// others stands for the clients of which there are too many.
	others = "of many others"
)

// refusals logs what was refused.
type refusals struct {
	log  *sla.Logger // static
	lead string      // static; how a line begins

	mu      sync.Mutex
	seen    map[refusal]*list.Element // guarded by mu; elements of order
	order   list.List                 // guarded by mu; of *said, by when they were logged
	clients map[string]int            // guarded by mu; how many elements each client has
	timer   *time.Timer               // guarded by mu; nil: nothing has been seen
	over    bool                      // guarded by mu
	running sync.WaitGroup            // of the timer's function
}

// refusal is what makes two of them the same.
type refusal struct {
	client string
	why    string // names target and rule; empty: any that is too many
}

// said is a refusal that has been logged.
type said struct {
	refusal
	at   time.Time
	more int // of the same since then
}

// newRefusals makes refusals whose lines begin with lead, the client behind it.
func newRefusals(log *sla.Logger, lead string) *refusals {
	return &refusals{log: log, lead: lead, seen: map[refusal]*list.Element{}, clients: map[string]int{}}
}

// client logs that a client was refused something; the name is empty if it has no
// certificate.
func (r *refusals) client(client string, why error) {
	r.say(cmp.Or(client, "without a certificate"), why)
}

// say logs a refusal, if the same was not logged a moment ago.
func (r *refusals) say(client string, err error) {
	key := refusal{client, err.Error()}
	if r.isNew(key) {
		r.log.Warn("%s %s: %s", r.lead, key.client, key.why)
	}
}

// isNew says whether the refusal is to be logged now; if not, it has been counted
// among those that are logged later.
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
		e.Value.(*said).more++
		return false
	}
	s := &said{refusal: key, at: time.Now()}
	if key.why == "" {
		s.more = 1 // not said by itself
	}
	r.seen[key] = r.order.PushBack(s)
	r.clients[key.client]++
	r.setTimerLocked()
	return s.more == 0
}

// setTimerLocked has due called when the first of order may be logged again.
func (r *refusals) setTimerLocked() {
	e := r.order.Front()
	if r.timer != nil || e == nil || r.over {
		return
	}
	r.running.Add(1)
	r.timer = time.AfterFunc(time.Until(e.Value.(*said).at.Add(sameEvery)), func() {
		defer r.running.Done()
		r.due()
	})
}

// due says how often what was logged a while ago has happened since, and forgets
// what has not.
func (r *refusals) due() {
	r.mu.Lock()
	r.timer = nil
	more := r.takeLocked(time.Now().Add(-sameEvery))
	r.setTimerLocked()
	r.mu.Unlock()
	r.sayAll(more)
}

// takeLocked takes what was logged at that time or before. What has happened since
// begins anew, the rest is forgotten.
func (r *refusals) takeLocked(until time.Time) (more []said) {
	var again []*said
	for e := r.order.Front(); e != nil && !e.Value.(*said).at.After(until); e = r.order.Front() {
		s := e.Value.(*said)
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

// sayAll logs what was kept back.
func (r *refusals) sayAll(more []said) {
	for _, s := range more {
		if s.why == "" {
			r.log.Warn("%s %s: %d more requests, for other targets or reasons", r.lead, s.client, s.more)
			continue
		}
		times := "once"
		if s.more > 1 {
			times = fmt.Sprintf("%d times", s.more)
		}
		r.log.Warn("%s %s: %s (%s more)", r.lead, s.client, s.why, times)
	}
}

// close logs what was kept back, and waits for the timer's function.
func (r *refusals) close() {
	r.mu.Lock()
	r.over = true
	if r.timer != nil && r.timer.Stop() {
		r.running.Done()
	}
	r.timer = nil
	more := r.takeLocked(time.Now())
	r.mu.Unlock()
	r.sayAll(more)
	r.running.Wait()
}
