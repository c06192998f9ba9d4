package remux

import "tunnels/remux/internal/flow"

const defaultBudget = 256 << 20

// Budget bounds the memory of the sessions that share it. It counts the bytes that their
// windows grant beyond the floor of 64 KiB per session, and the bytes actually buffered
// for applications. It is safe for concurrent use.
type Budget struct{ shared flow.Budget }

// NewBudget returns a budget of limit bytes; 0 means 256 MiB.
func NewBudget(limit int64) *Budget {
	if limit == 0 {
		limit = defaultBudget
	}
	return &Budget{flow.Budget{Limit: limit}}
}

// Usage returns the number of bytes buffered for applications, its approximate peak since
// the last call, and the number of bytes granted to windows beyond their floors.
func (b *Budget) Usage() (waiting, peak, granted int64) { return b.shared.Usage() }
