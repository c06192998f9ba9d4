package resolve

import (
	"context"
	"fmt"
	"os"
	"time"
)

// hearing is the upstreams that have been asked one question and may still answer.
// The goroutine that asks owns it.
type hearing struct {
	ctx      context.Context
	cancel   context.CancelFunc
	q        question
	patience time.Duration // of each one, from when it was asked
	running  int           // those asked that have not said anything
	said     chan verdict  // has room for all
}

// verdict is what an upstream said.
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

// ask asks an upstream; hear is to follow.
func (h *hearing) ask(s *server) {
	h.running++
	go func() { // end waits for its verdict
		a, err := s.lookup(h.ctx, h.q, h.patience)
		h.said <- verdict{s, a, err}
	}()
}

// hear waits for an answer from any of those that were asked. The error is that of
// s, or says that it has been silent for that long.
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

// end ends what has not answered, and waits for it.
func (h *hearing) end() {
	h.cancel()
	for ; h.running > 0; h.running-- {
		<-h.said
	}
}
