package timing

import (
	"sync"
	"time"
)

// Round trips younger than RTTFresh count as fresh; the last rttKept are kept.
const (
	RTTFresh = 5 * time.Second
	rttKept  = 8
)

// RTTs holds the most recent round-trip times. Its lock is a leaf: it may be acquired
// while holding any other.
type RTTs struct {
	mu   sync.Mutex
	took [rttKept]time.Duration // guarded by mu
	at   [rttKept]time.Time     // guarded by mu
	n    int                    // guarded by mu; number added so far
}

// Note adds a round trip.
func (r *RTTs) Note(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.n % rttKept
	r.took[i], r.at[i] = took, time.Now()
	r.n++
}

// Best returns the shortest of the fresh round trips, because longer ones include
// queueing, or else the most recent one. It returns false if there is none.
func (r *RTTs) Best() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return 0, false
	}
	best := r.took[(r.n-1)%rttKept]
	for i := range min(r.n, rttKept) {
		if time.Since(r.at[i]) < RTTFresh {
			best = min(best, r.took[i])
		}
	}
	return best, true
}
