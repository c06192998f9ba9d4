package resolve

import (
	"container/list"
	"slices"
	"sync"
)

// turns lets so many questions be asked at one time. Clients whose questions wait
// take turns, so that one with many delays another with few by one question at most;
// and a single client leaves some places to the others.
type turns struct {
	max, share int // static: questions at one time, and those of one client

	mu    sync.Mutex
	busy  int              // guarded by mu
	lines map[string]*line // guarded by mu; by client
	next  list.List        // guarded by mu; of *line with a question that may be asked now
}

// line is one client's questions. Guarded by turns.mu.
type line struct {
	client  string
	asking  int
	waiting list.List     // of *ticket; those that have a place by another client are passed over
	elem    *list.Element // in next; nil if it is not there
}

// ticket is one question, which may be that of several clients.
type ticket struct {
	granted chan struct{} // closed when the question may be asked

	// Guarded by turns.mu:
	places []place // in the lines of the clients that wait for it
	by     *line   // whose place it takes; nil if it has none
	over   bool    // it is not to be asked any more
}

// place is a ticket's place in a line.
type place struct {
	line *line
	elem *list.Element
}

func newTurns(most int) *turns {
	return &turns{max: most, share: most - most/4, lines: map[string]*line{}}
}

func newTicket() *ticket { return &ticket{granted: make(chan struct{})} }

// wait puts a question into a client's line.
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

// end gives up the place of a question, or its waiting for one.
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

// grantLocked gives free places away, one to each client in turn.
func (t *turns) grantLocked() {
	for t.busy < t.max && t.next.Len() > 0 {
		l := t.next.Front().Value.(*line)
		k := l.waiting.Remove(l.waiting.Front()).(*ticket)
		if k.by == nil { // else it has a place by another client
			k.by = l
			l.asking++
			t.busy++
			close(k.granted)
		}
		t.next.MoveToBack(l.elem)
		t.standLocked(l)
	}
}

// standLocked has a line stand in next if one of its questions may be asked, and
// forgets it if it has none.
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
