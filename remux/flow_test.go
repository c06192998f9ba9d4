package remux

import (
	"testing"
	"time"
)

// TestConsumedAtOnce: a reader of all that was granted grants more, also when
// it came in one piece and the first WINDOW has not been asked for yet. Nothing
// else would come that could be read.
func TestConsumedAtOnce(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		var f flow
		cfg := Config{}.defaults()
		f.start(&cfg, false)
		f.lazy = lazy
		limit := f.limit
		if !f.consumed(int(limit), time.Millisecond) || f.limit <= limit {
			t.Errorf("lazy %t: limit %d after %d bytes were read, want more, and to say so", lazy, f.limit, limit)
		}
		f.close()
	}
}
