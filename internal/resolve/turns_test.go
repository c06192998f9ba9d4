package resolve

import "testing"

// TestEndIsCheap: giving up a question costs the same however many of its client wait.
func TestEndIsCheap(t *testing.T) {
	ts := newTurns(4)
	var all []*ticket
	for range 100_000 {
		k := newTicket()
		ts.wait("many", k)
		all = append(all, k)
	}
	for i := len(all) - 1; i >= 0; i-- { // the worst order for a list that is searched
		ts.end(all[i])
	}
	if len(ts.lines) != 0 || ts.busy != 0 || ts.next.Len() != 0 {
		t.Errorf("%d lines, %d busy, %d next are left", len(ts.lines), ts.busy, ts.next.Len())
	}
}
