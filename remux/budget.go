package remux

import "tunnels/remux/internal/flow"

const defaultBudget = 256 << 20

// Budget bounds the memory of the sessions that share it. It counts two things: what
// their windows grant beyond the floor of 64 KiB that every session has, and the bytes
// actually buffered for applications. It is safe for concurrent use.
type Budget struct{ shared flow.Budget }

// NewBudget returns a budget of limit bytes; 0 means 256 MiB.
func NewBudget(limit int64) *Budget {
	if limit == 0 {
		limit = defaultBudget
	}
	return &Budget{flow.Budget{Limit: limit}}
}

// Usage returns how many bytes are buffered for applications, the approximate peak of
// that since the last call, and how many bytes the windows grant beyond their floors.
func (b *Budget) Usage() (waiting, peak, granted int64) { return b.shared.Usage() }
