package resolve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
)

// TestSingleFlight checks that a thousand concurrent requests cause one query, and that
// canceling one does not affect the rest.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answerNow := make(chan struct{})
		r, asked := newFake(t, func(ctx context.Context, q question) (answer, error) {
			select {
			case <-answerNow:
				return both(ctx, q)
			case <-ctx.Done():
				return answer{}, ctx.Err()
			}
		})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1") })
		}
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			got, err := r.Lookup(ctx, "client", "a.example")
			wantError(t, "a.example", got, err, code.Cancelled, "resolving a.example: cancelled")
		})
		short, cancelShort := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancelShort()
		wg.Go(func() {
			got, err := r.Lookup(short, "client", "a.example")
			wantError(t, "a.example", got, err, code.Timeout, "resolving a.example: timed out")
		})
		synctest.Wait()
		cancel()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		close(answerNow)
		wg.Wait()
		wantAsked(t, "1002 concurrent requests", asked, 1, 1)
	})
}

// TestLastWaiterCancels checks that when the last waiter leaves, the query is canceled
// and nothing is cached.
func TestLastWaiterCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		r, asked := newFake(t, func(ctx context.Context, _ question) (answer, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return answer{}, ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = r.Lookup(ctx, "client", "a.example") })
		synctest.Wait()
		cancel()
		wg.Wait()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the query ended with %v, want cancelled", err)
			}
		}
		synctest.Wait()
		if len(r.flights) != 0 || r.answers.Len() != 0 {
			t.Errorf("%d flights and %d answers remain, want none", len(r.flights), r.answers.Len())
		}
		drain(asked)
	})
}

// TestResolutionDelay checks that IPv4 addresses wait at most 50 ms for IPv6, and IPv6
// addresses at most two seconds for IPv4, and that a later answer is cached for the
// next request.
func TestResolutionDelay(t *testing.T) {
	for _, tt := range []struct {
		slow4, slow6 time.Duration
		want         string
		after        time.Duration
	}{
		{0, 49 * time.Millisecond, "2001:db8::1 192.0.2.1", 49 * time.Millisecond},
		{0, 51 * time.Millisecond, "192.0.2.1", 50 * time.Millisecond},
		{0, time.Hour, "192.0.2.1", 50 * time.Millisecond},
		{70 * time.Millisecond, 90 * time.Millisecond, "2001:db8::1 192.0.2.1", 90 * time.Millisecond},
		{time.Second, 0, "2001:db8::1 192.0.2.1", time.Second},
		{time.Hour, 0, "2001:db8::1", 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newFake(t, func(ctx context.Context, q question) (answer, error) {
				slow := tt.slow4
				if q.v6 {
					slow = tt.slow6
				}
				select {
				case <-time.After(slow):
					return both(ctx, q)
				case <-ctx.Done():
					return answer{}, ctx.Err()
				}
			})
			began := time.Now()
			wantAddrs(t, r, "a.example", tt.want)
			if took := time.Since(began); took != tt.after {
				t.Errorf("IPv4 after %v, IPv6 after %v: Lookup took %v, want %v", tt.slow4, tt.slow6, took, tt.after)
			}
			if tt.slow6 == 51*time.Millisecond {
				time.Sleep(time.Millisecond)
				synctest.Wait()
				wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
			}
		})
	}
}

// TestNext checks that when an upstream does not answer, the next one is queried, and is
// tried first for a while.
func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &fake{asked: make(chan question, 100), answer: func(ctx context.Context, _ question) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		}}
		live := &fake{asked: make(chan question, 100), answer: both}
		r := newResolver([]upstream{dead, live})
		t.Cleanup(r.Close)
		began := time.Now()
		wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
		if took := time.Since(began); took != r.patience[0] {
			t.Errorf("answered after %v, want %v", took, r.patience[0])
		}
		began = time.Now()
		wantAddrs(t, r, "b.example", "2001:db8::1 192.0.2.1")
		if took := time.Since(began); took != 0 {
			t.Errorf("the next name took %v, want the live upstream queried first", took)
		}
		wantAsked(t, "the dead upstream", dead.asked, 1, 1)
		time.Sleep(rest)
		wantAddrs(t, r, "c.example", "2001:db8::1 192.0.2.1")
		wantAsked(t, "the dead upstream, after its rest", dead.asked, 1, 1)
	})
}

// TestNextAfterFailure checks that after an upstream answers with a failure, the next
// one is queried instead.
func TestNextAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servfail := func(context.Context, question) (answer, error) { return answer{}, &rcodeError{"SERVFAIL"} }
		first := &fake{asked: make(chan question, 100), answer: servfail}
		second := &fake{asked: make(chan question, 100), answer: servfail}
		r := newResolver([]upstream{first, second})
		t.Cleanup(r.Close)
		wantCode(t, r, "a.example", code.HostUnreachable, "fake: answered SERVFAIL; fake: answered SERVFAIL")
		wantAsked(t, "first", first.asked, 1, 1)
		wantAsked(t, "second", second.asked, 1, 1)
		second.answer = both
		wantAddrs(t, r, "b.example", "2001:db8::1 192.0.2.1")
		wantAsked(t, "first", first.asked, 1, 1)
	})
}

// TestSlowUpstream checks that an answer slower than the initial patience is accepted
// when it arrives, without a second try.
func TestSlowUpstream(t *testing.T) {
	for _, needs := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newFake(t, func(ctx context.Context, q question) (answer, error) {
				select {
				case <-time.After(needs):
					return both(ctx, q)
				case <-ctx.Done():
					return answer{}, ctx.Err()
				}
			})
			begin := time.Now()
			wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
			if took := time.Since(begin); took != needs {
				t.Errorf("with an upstream that takes %v, Lookup took %v", needs, took)
			}
		})
	}
}

// TestTurns checks that a client requesting thousands of names that no upstream answers
// does not delay another client, whether it requests them all at once or gives up on
// earlier ones.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newFake(t, func(ctx context.Context, q question) (answer, error) {
			if q.name == "good.example" || q.name == "next.example" {
				return both(ctx, q)
			}
			<-ctx.Done()
			return answer{}, ctx.Err()
		})
		var wg sync.WaitGroup
		for i := range 5 * maxAsking {
			wg.Go(func() { _, _ = r.Lookup(t.Context(), "flooder", fmt.Sprintf("dead%d.example", i)) })
		}
		synctest.Wait()
		for _, name := range []string{"good.example", "next.example"} {
			begin := time.Now()
			if _, err := r.Lookup(t.Context(), "other", name); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("another client's lookup took %v", took)
			}
		}
		// A name requested by both uses the turn of the client that waits less.
		go r.Lookup(t.Context(), "flooder", "shared.example")
		synctest.Wait()
		begin := time.Now()
		if _, err := r.Lookup(t.Context(), "other", "shared.example"); err == nil || time.Since(begin) != 4500*time.Millisecond {
			t.Errorf("the shared name: %v after %v, want only the upstream's timeout", err, time.Since(begin))
		}
		wg.Wait()
		if r.turns.busy != 0 || len(r.turns.lines) != 0 || r.turns.next.Len() != 0 {
			t.Errorf("%d slots are in use, %d clients remain", r.turns.busy, len(r.turns.lines))
		}
	})
}

// TestTooMany checks that queries beyond the limit wait for their turn.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answerNow := make(chan struct{})
		r, asked := newFake(t, func(ctx context.Context, q question) (answer, error) {
			<-answerNow
			return both(ctx, q)
		})
		var wg sync.WaitGroup
		for i := range maxAsking { // two questions per name
			name := fmt.Sprintf("n%d.example", i)
			wg.Go(func() { wantAddrs(t, r, name, "2001:db8::1 192.0.2.1") })
		}
		synctest.Wait()
		if v4, v6 := drain(asked); v4+v6 != r.turns.share {
			t.Errorf("%d queries are running, want %d", v4+v6, r.turns.share)
		}
		close(answerNow)
		wg.Wait()
	})
}

// TestClose checks that waiters get an error, and that later calls return immediately.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newFake(t, func(ctx context.Context, _ question) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		})
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, r, "a.example", code.GoingAway, "being stopped") })
		synctest.Wait()
		r.Close()
		wg.Wait()
		wantCode(t, r, "b.example", code.GoingAway, "being stopped")
		wantAddrs(t, r, "192.0.2.1", "192.0.2.1")
	})
}
