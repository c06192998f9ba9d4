package flow

import (
	"testing"
	"time"
)

// TestConsumedAtOnce checks that reading everything that was granted grants more, even if
// it arrived in one piece and no WINDOW has been sent yet. Otherwise the session would be
// stuck.
func TestConsumedAtOnce(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		var f Window
		f.Start(&Budget{Limit: 256 << 20}, 128<<20, false)
		f.Lazy = lazy
		limit := f.Limit
		if !f.Consumed(int(limit), time.Millisecond) || f.Limit <= limit {
			t.Errorf("lazy %t: limit %d after reading %d bytes, want more, and true", lazy, f.Limit, limit)
		}
		f.Close()
	}
}
