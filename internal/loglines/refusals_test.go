package loglines

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/loglines/logtest"
)

// remembered returns the number of refusals that r remembers.
func remembered(r *refusals) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(len(r.seen), r.order.Len())
}

// TestRefusalLines checks that every refusal is logged or counted, and that a flood of
// identical ones produces few lines.
func TestRefusalLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logtest.Buffer)
		r := newRefusals(log.Logger(t), "refused client")
		flood := func(n int) {
			for range n {
				r.client("laptop", errors.New("target a.test:80: why"))
			}
		}
		const line = "[warn] [main] refused client laptop: target a.test:80: why"
		flood(1)
		log.Want(t, line)
		flood(999)
		log.Want(t, line)
		r.client("", errors.New("target a.test:80: why"))
		r.client("laptop", errors.New("target a.test:80: other"))
		all := []string{line, "[warn] [main] refused client without a certificate: target a.test:80: why", "[warn] [main] refused client laptop: target a.test:80: other"}
		log.Want(t, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		all = append(all, line+" (999 more times)")
		log.Want(t, all...)
		flood(3)
		log.Want(t, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		all = append(all, line+" (3 more times)")
		log.Want(t, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		if n := remembered(r); n != 0 || len(r.clients) != 0 || r.timer != nil {
			t.Errorf("%d refusals still remembered after a quiet period", n)
		}
		flood(2)
		r.close()
		log.Want(t, append(all, line, line+" (once more)")...)
	})
}

// TestRefusalsOfOneClient checks that a client trying many targets fills neither the
// log nor memory, and does not crowd out other clients' lines.
func TestRefusalsOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logtest.Buffer)
		r := newRefusals(log.Logger(t), "refused client")
		defer r.close()
		for i := range 10_000 {
			r.client("scanner", fmt.Errorf("target %d: why", i))
		}
		r.client("laptop", errors.New("target a.test:80: why"))
		if n := len(log.With("client scanner")); n != linesMax {
			t.Errorf("%d lines, want %d", n, linesMax)
		}
		if n := len(log.With("client laptop")); n != 1 {
			t.Errorf("%d lines about another client, want 1", n)
		}
		if n := remembered(r); n != linesMax+2 {
			t.Errorf("%d refusals are remembered, want %d", n, linesMax+2)
		}
		time.Sleep(sameEvery)
		synctest.Wait()
		if n := len(log.With("refused client scanner: 9968 more requests, for other targets or reasons")); n != 1 {
			t.Errorf("%d summary lines, want 1: %s", n, log)
		}
	})
}
