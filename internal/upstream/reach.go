package upstream

import (
	"fmt"
	"sync"
	"time"

	"tunnels/internal/code"
)

// freshFailure is how long after a failed dial further dials fail without an attempt.
const freshFailure = time.Second

// reach remembers the result of the last dial, for links without a pool.
type reach struct {
	mu  sync.Mutex
	err error     // guarded by mu; result of the last dial
	at  time.Time // guarded by mu; when it failed
}

func (r *reach) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.at = err, time.Now()
}

// ok reports whether nothing suggests that the server is unreachable.
func (r *reach) ok() bool { return r.failed() == nil }

// failed returns the last dial's error, or nil if it succeeded.
func (r *reach) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// justFailed returns the last dial's error if it is too recent to retry, and nil
// otherwise.
func (r *reach) justFailed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || time.Since(r.at) >= freshFailure {
		return nil
	}
	return &code.Error{Code: code.General, Text: fmt.Sprintf("server cannot be reached: %v", r.err)}
}
