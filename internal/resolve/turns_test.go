package resolve

import "testing"

// TestManyCanceled checks that a hundred thousand queries from one client, canceled in
// reverse order, leave nothing behind.
func TestManyCanceled(t *testing.T) {
	ts := newTurns(4)
	var all []*ticket
	for range 100_000 {
		k := newTicket()
		ts.wait("many", k)
		all = append(all, k)
	}
	for i := len(all) - 1; i >= 0; i-- {
		ts.end(all[i])
	}
	if len(ts.lines) != 0 || ts.busy != 0 || ts.next.Len() != 0 {
		t.Errorf("%d lines, %d busy, %d next remain", len(ts.lines), ts.busy, ts.next.Len())
	}
}
