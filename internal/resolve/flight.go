package resolve

import (
	"context"
	"time"

	"tunnels/internal/code"
)

// flightTime is how long a question may be on its way, whatever the number of
// upstreams.
const flightTime = 10 * time.Second

// flight is a question on its way to upstreams, for all who wait for its answer.
//
// It is not golang.org/x/sync/singleflight because it ends with the last one who
// waits: a client that asks and goes away must not leave work behind.
type flight struct {
	landed chan struct{} // closed when answer is there
	answer answer        // static once landed is closed

	cancel  context.CancelFunc // set once, never changed
	turn    *ticket            // set once; to ask upstreams
	waiters int                // guarded by Resolver.mu
}

// landed is a flight that has landed.
func landed(a answer) *flight {
	f := &flight{landed: make(chan struct{}), answer: a}
	close(f.landed)
	return f
}

// join returns the flight that answers a client's question; leave is to follow,
// unless it is worth having the answer although nobody waits for it any more.
func (r *Resolver) join(client string, q question) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	// An answer is remembered before its flight is forgotten, so that one of
	// them is found.
	if f := r.flights[q]; f != nil {
		f.waiters++
		r.turns.wait(client, f.turn) // it may be this client's turn before
		return f
	}
	if a, ok := r.answers.Get(q); ok {
		return landed(a)
	}
	if r.closed {
		return landed(answer{failed: true, why: &code.Error{Code: code.GoingAway, Text: "resolving " + q.name + ": the process is being stopped"}})
	}
	ctx, cancel := context.WithTimeout(r.ctx, flightTime)
	f := &flight{landed: make(chan struct{}), cancel: cancel, turn: newTicket(), waiters: 1}
	r.flights[q] = f
	r.turns.wait(client, f.turn)
	r.work.Go(func() {
		defer cancel()
		f.answer = r.ask(ctx, q, f.turn)
		r.land(q, f)
	})
	return f
}

// leave gives f up; with the last one who waits it ends.
func (r *Resolver) leave(q question, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || r.flights[q] != f {
		return
	}
	delete(r.flights, q)
	f.cancel()
}

func (r *Resolver) land(q question, f *flight) {
	if ttl := f.answer.ttl; ttl > 0 {
		r.answers.Put(q, f.answer, ttl)
	}
	r.mu.Lock()
	if r.flights[q] == f {
		delete(r.flights, q)
	}
	r.mu.Unlock()
	close(f.landed)
}
