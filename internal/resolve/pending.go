package resolve

import (
	"context"
	"fmt"
	"os"
	"time"
)

// pending tracks the upstreams that were sent a question and may still answer it. The
// goroutine that called newPending owns it.
type pending struct {
	ctx      context.Context
	cancel   context.CancelFunc
	q        question
	patience time.Duration // for each upstream, from when it was sent the question
	running  int           // queries without a result yet
	results  chan result   // buffered for all results
}

// result is one upstream's answer or error.
type result struct {
	s      *server
	answer answer
	err    error
}

func (r *Resolver) newPending(ctx context.Context, q question) *pending {
	p := &pending{q: q, results: make(chan result, len(r.servers)*len(r.patience))}
	for _, d := range r.patience {
		p.patience += d
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// send starts a query to an upstream. The caller must then call wait.
func (p *pending) send(s *server) {
	p.running++
	go func() { // end waits until it has sent its result
		a, err := s.lookup(p.ctx, p.q, p.patience)
		p.results <- result{s, a, err}
	}()
}

// wait waits for an answer from any of the upstreams queried so far. It returns an error
// if s fails or none has answered after patience.
func (p *pending) wait(s *server, patience time.Duration) (result, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case v := <-p.results:
			p.running--
			if v.err == nil || v.s == s {
				return v, v.err
			}
		case <-timer.C:
			return result{}, fmt.Errorf("did not answer: %w", os.ErrDeadlineExceeded)
		case <-p.ctx.Done():
			return result{}, p.ctx.Err()
		}
	}
}

// end cancels the unanswered queries and waits for them.
func (p *pending) end() {
	p.cancel()
	for ; p.running > 0; p.running-- {
		<-p.results
	}
}
