package resolve

import (
	"context"
	"fmt"
	"os"
	"time"
)

// hearing tracks the upstreams that were asked one question and may still answer. The
// asking goroutine owns it.
type hearing struct {
	ctx      context.Context
	cancel   context.CancelFunc
	q        question
	patience time.Duration // for each upstream, counted from when it was asked
	running  int           // upstreams that were asked and have not answered
	said     chan verdict  // buffered for all verdicts
}

// verdict is the result from one upstream.
type verdict struct {
	s      *server
	answer answer
	err    error
}

func (r *Resolver) newHearing(ctx context.Context, q question) *hearing {
	h := &hearing{q: q, said: make(chan verdict, len(r.servers)*len(r.patience))}
	for _, d := range r.patience {
		h.patience += d
	}
	h.ctx, h.cancel = context.WithCancel(ctx)
	return h
}

// ask starts a query to an upstream; hear must follow.
func (h *hearing) ask(s *server) {
	h.running++
	go func() { // end waits until it has sent its verdict
		a, err := s.lookup(h.ctx, h.q, h.patience)
		h.said <- verdict{s, a, err}
	}()
}

// hear waits for an answer from any upstream asked so far. The error is the one from s,
// or a timeout after patience.
func (h *hearing) hear(s *server, patience time.Duration) (verdict, error) {
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for {
		select {
		case v := <-h.said:
			h.running--
			if v.err == nil || v.s == s {
				return v, v.err
			}
		case <-silence.C:
			return verdict{}, fmt.Errorf("does not answer: %w", os.ErrDeadlineExceeded)
		case <-h.ctx.Done():
			return verdict{}, h.ctx.Err()
		}
	}
}

// end cancels the unanswered queries and waits for them.
func (h *hearing) end() {
	h.cancel()
	for ; h.running > 0; h.running-- {
		<-h.said
	}
}
