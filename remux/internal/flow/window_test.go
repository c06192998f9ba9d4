package flow

import (
	"testing"
	"time"
)

// TestConsumedAtOnce: a reader of all that was granted grants more, also when
// it came in one piece and the first WINDOW has not been asked for yet. Nothing
// else would come that could be read.
func TestConsumedAtOnce(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		var f Window
		f.Start(&Budget{Limit: 256 << 20}, 128<<20, false)
		f.Lazy = lazy
		limit := f.Limit
		if !f.Consumed(int(limit), time.Millisecond) || f.Limit <= limit {
			t.Errorf("lazy %t: limit %d after %d bytes were read, want more, and to say so", lazy, f.Limit, limit)
		}
		f.Close()
	}
}
