package resolve

import (
	"container/list"
	"slices"
	"sync"
)

// turns limits concurrent queries. Clients with queries waiting take turns, so that one
// with many delays one with few by at most one query, and no client may use all the
// slots.
type turns struct {
	max, share int // set once; limits on concurrent queries, in total and per client

	mu    sync.Mutex
	busy  int              // guarded by mu
	lines map[string]*line // guarded by mu; by client
	next  list.List        // guarded by mu; elements are *line with a query that may start
}

// line holds the queries of one client. It is guarded by turns.mu.
type line struct {
	client  string
	asking  int
	waiting list.List     // elements are *ticket; those already running in another client's slot are skipped
	elem    *list.Element // its element in turns.next, or nil
}

// ticket is one query, which several clients may share.
type ticket struct {
	granted chan struct{} // closed when the query may start

	// Guarded by turns.mu:
	places []place // its positions in the lines of the clients waiting for it
	by     *line   // the client whose slot it is using, or nil
	over   bool    // the query was abandoned or has ended
}

// place is a ticket's position in a line.
type place struct {
	line *line
	elem *list.Element
}

func newTurns(most int) *turns {
	return &turns{max: most, share: most - most/4, lines: map[string]*line{}}
}

func newTicket() *ticket { return &ticket{granted: make(chan struct{})} }

// wait adds a query to a client's line.
func (t *turns) wait(client string, k *ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.over || k.by != nil || slices.ContainsFunc(k.places, func(p place) bool { return p.line.client == client }) {
		return
	}
	l := t.lines[client]
	if l == nil {
		l = &line{client: client}
		t.lines[client] = l
	}
	k.places = append(k.places, place{l, l.waiting.PushBack(k)})
	t.standLocked(l)
	t.grantLocked()
}

// end releases a query's slot, or removes the query from the lines.
func (t *turns) end(k *ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.over {
		return
	}
	k.over = true
	if l := k.by; l != nil {
		t.busy--
		l.asking--
		t.standLocked(l)
	} else {
		for _, p := range k.places {
			p.line.waiting.Remove(p.elem)
			t.standLocked(p.line)
		}
	}
	t.grantLocked()
}

// grantLocked assigns free slots, one to each client in turn.
func (t *turns) grantLocked() {
	for t.busy < t.max && t.next.Len() > 0 {
		l := t.next.Front().Value.(*line)
		k := l.waiting.Remove(l.waiting.Front()).(*ticket)
		if k.by == nil { // otherwise it already has a slot
			k.by = l
			l.asking++
			t.busy++
			close(k.granted)
		}
		t.next.MoveToBack(l.elem)
		t.standLocked(l)
	}
}

// standLocked adds a line to next if one of its queries may start, or deletes the line
// if it is empty.
func (t *turns) standLocked(l *line) {
	ready := l.waiting.Len() > 0 && l.asking < t.share
	switch {
	case ready && l.elem == nil:
		l.elem = t.next.PushBack(l)
	case !ready && l.elem != nil:
		t.next.Remove(l.elem)
		l.elem = nil
	}
	if l.waiting.Len() == 0 && l.asking == 0 {
		delete(t.lines, l.client)
	}
}
