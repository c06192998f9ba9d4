package upstream

import (
	"fmt"
	"sync"
	"time"

	"tunnels/internal/code"
)

// freshFailure is for how long a failed dial answers for the next ones.
const freshFailure = time.Second

// reach remembers how the last dial went, where there is no pool to know it.
type reach struct {
	mu  sync.Mutex
	err error     // guarded by mu; of the last dial
	at  time.Time // guarded by mu; when it failed
}

func (r *reach) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.at = err, time.Now()
}

// ok: there is no reason to think that the server cannot be reached.
func (r *reach) ok() bool { return r.failed() == nil }

// failed is how the last dial failed; nil: it did not.
func (r *reach) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// justFailed is the error of a dial that need not be tried again yet.
func (r *reach) justFailed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || time.Since(r.at) >= freshFailure {
		return nil
	}
	return &code.Error{Code: code.General, Text: fmt.Sprintf("server cannot be reached: %v", r.err)}
}
