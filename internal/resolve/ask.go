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

// Limits on how long answers are cached.
const (
	minTTL = time.Second // even if the TTL is 0, so that requests within a second share an answer
	maxTTL = time.Hour
	// maxNegativeTTL is short because people try a name right after creating it.
	maxNegativeTTL = 5 * time.Minute
	// failureTTL exceeds the one second that RFC 9520 requires.
	failureTTL = 2 * time.Second
	// rest is how long an upstream that did not answer is tried last.
	rest = 30 * time.Second
)

// upstream is a source of answers.
type upstream interface {
	// lookup sends one query and waits up to patience for the answer. An *rcodeError
	// means that the upstream answered with a failure, any other error that it did not
	// answer.
	lookup(ctx context.Context, q question, patience time.Duration) (answer, error)
	String() string
	close()
}

// server is an upstream and its state.
type server struct {
	upstream
	restsUntil atomic.Int64 // in Unix nanoseconds
}

// ask queries upstreams until one answers. It moves on to the next one when one fails or
// stays silent for a while, and starts over after the last, because datagrams may be
// lost. Late answers are accepted: all queries stay open until ask returns.
func (r *Resolver) ask(ctx context.Context, q question, turn *ticket) answer {
	defer r.turns.end(turn)
	select {
	case <-turn.granted:
	case <-ctx.Done():
		a := r.failure(ctx, q, nil)
		a.ttl = 0 // don't cache: no upstream was queried, and the next client may not have to wait
		return a
	}
	p := r.newPending(ctx, q)
	defer p.end()
	var errs []error
	for _, patience := range r.patience {
		errs = errs[:0]
		silent := false
		for _, s := range r.inOrder() {
			p.send(s)
			v, err := p.wait(s, patience)
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
		if !silent { // every upstream answered with a failure
			break
		}
	}
	return r.failure(ctx, q, errs)
}

// inOrder returns the upstreams in list order, except that those that recently failed
// to answer come last.
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

// checked returns a with the limits applied and, if it has no address, an error text.
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
		a.why = &code.Error{Code: a.why.Code, Text: "name " + q.name + " " + a.why.Text + " (" + s.String() + ")"}
	}
	return a
}

// failure returns the answer if no upstream has one. It is not cached if
// ctx was canceled early.
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
