package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
)

// For how long answers are remembered, whatever they say themselves.
const (
	minTTL = time.Second // also 0 means: as many as ask in this second get the same
	maxTTL = time.Hour
	// maxNegativeTTL: who has just made a name wants to use it soon.
	maxNegativeTTL = 5 * time.Minute
	// failureTTL: RFC 9520 wants a second at least.
	failureTTL = 2 * time.Second
	// rest is for how long an upstream that did not answer is asked last.
	rest = 30 * time.Second
)

// upstream is who can be asked.
type upstream interface {
	// lookup asks once, and waits as long as patience for the answer. An error
	// means that it could not say; an *rcodeError, that it said so.
	lookup(ctx context.Context, q question, patience time.Duration) (answer, error)
	String() string
	close()
}

// server is an upstream and what is known of it.
type server struct {
	upstream
	restsUntil atomic.Int64 // in Unix nanoseconds
}

// ask asks upstreams until one of them can say: the next one when one fails or has
// been silent for a while, then all again, as a datagram may be lost. A slow answer
// is not lost: those that were asked before are listened to until the end.
func (r *Resolver) ask(ctx context.Context, q question, turn *ticket) answer {
	defer r.turns.end(turn)
	select {
	case <-turn.granted:
	case <-ctx.Done():
		a := r.failure(ctx, q, nil)
		a.ttl = 0 // no upstream was asked, and the next client may have its turn at once
		return a
	}
	h := r.newHearing(ctx, q)
	defer h.end()
	var errs []error
	for _, patience := range r.patience {
		errs = errs[:0]
		silent := false
		for _, s := range r.inOrder() {
			h.ask(s)
			v, err := h.hear(s, patience)
			if err == nil {
				v.s.restsUntil.Store(0)
				return checked(v.answer, q, v.s)
			}
			if ctx.Err() != nil {
				return r.failure(ctx, q, append(errs, err))
			}
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
			if _, ok := errors.AsType[*rcodeError](err); !ok {
				silent = true
				s.restsUntil.Store(time.Now().Add(rest).UnixNano())
			}
		}
		if !silent { // all have said that they cannot say
			break
		}
	}
	return r.failure(ctx, q, errs)
}

// inOrder is the upstreams as they are to be asked: as they were given, but
// those that did not answer a moment ago last.
func (r *Resolver) inOrder() []*server {
	order := slices.Clone(r.servers)
	now := time.Now().UnixNano()
	slices.SortStableFunc(order, func(a, b *server) int {
		restA, restB := a.restsUntil.Load() > now, b.restsUntil.Load() > now
		switch {
		case restA == restB:
			return 0
		case restA:
			return 1
		}
		return -1
	})
	return order
}

// checked is a with its bounds, and in words if there is no address.
func checked(a answer, q question, s *server) answer {
	if len(a.addrs) > 0 {
		a.addrs = slices.Clone(a.addrs[:min(len(a.addrs), maxAddrs)])
		for i := range a.addrs {
			a.addrs[i] = a.addrs[i].Unmap()
		}
		a.ttl = min(max(a.ttl, minTTL), maxTTL)
		return a
	}
	a.ttl = min(max(a.ttl, minTTL), maxNegativeTTL)
	if a.why == nil {
		a.why = &code.Error{Code: code.HostUnreachable, Text: "name " + q.name + " has no address"}
	} else {
		a.why = &code.Error{Code: a.why.Code, Text: "name " + q.name + " " + a.why.Text + ", says " + s.String()}
	}
	return a
}

// failure is the answer when nobody could say. If it is because ctx has ended
// before its time, it is not worth remembering.
func (r *Resolver) failure(ctx context.Context, q question, errs []error) answer {
	a := answer{failed: true, ttl: failureTTL}
	switch {
	case r.ctx.Err() != nil:
		a.ttl, a.why = 0, &code.Error{Code: code.GoingAway, Text: "resolving " + q.name + ": the process is being stopped"}
		return a
	case errors.Is(ctx.Err(), context.Canceled):
		a.ttl = 0
	}
	a.why = &code.Error{Code: code.HostUnreachable, Text: "resolving " + q.name + ": "}
	if len(errs) == 0 {
		a.why.Code = code.Timeout
		a.why.Text += "too many names are being resolved"
	}
	for i, err := range errs {
		if isTimeout(err) {
			a.why.Code = code.Timeout
		}
		if i > 0 {
			a.why.Text += "; "
		}
		a.why.Text += err.Error()
	}
	return a
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
