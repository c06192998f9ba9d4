package resolve

import (
	"context"
	"time"

	"tunnels/internal/code"
)

// flightTime limits the duration of a query, no matter how many upstreams it tries.
const flightTime = 10 * time.Second

// flight is a query in progress, shared by all callers waiting for its answer.
//
// golang.org/x/sync/singleflight does not cancel a call when its last waiter leaves,
// but here a client that disconnects must not leave work behind.
type flight struct {
	landed chan struct{} // closed when answer is set
	answer answer        // set before landed is closed

	cancel  context.CancelFunc // set once, never changed
	turn    *ticket            // set once; permission to query upstreams
	waiters int                // guarded by Resolver.mu
}

// landed returns a flight that already has its answer.
func landed(a answer) *flight {
	f := &flight{landed: make(chan struct{}), answer: a}
	close(f.landed)
	return f
}

// join returns the flight that answers a client's question. The caller must call leave,
// unless the answer is worth caching even if nothing waits for it.
func (r *Resolver) join(client string, q question) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	// An answer is cached before its flight is removed, so one of the two is always
	// found.
	if f := r.flights[q]; f != nil {
		f.waiters++
		r.turns.wait(client, f.turn) // this client may get its turn earlier
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

// leave gives up waiting for f; its query is canceled when the last waiter leaves.
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
