package events

import "sync"

// Table is the live requests of a client or server, with their byte counts. It is
// always on: an entry is the Request itself, linked into a list. All methods are safe
// for concurrent use. The zero value is an empty table.
type Table struct {
	mu sync.Mutex
	// Guarded by mu.
	first, last *Request // the oldest and the newest
	n           int
	ids         uint64
}

// Events returns what keeps the table up to date.
func (t *Table) Events() *Events {
	return &Events{
		RequestAccepted: t.add,
		RequestClosed:   func(r *Request, _ End) { t.remove(r) },
	}
}

func (t *Table) add(r *Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids++
	t.n++
	r.id = t.ids
	if r.prev = t.last; r.prev != nil {
		r.prev.next = r
	} else {
		t.first = r
	}
	t.last = r
}

func (t *Table) remove(r *Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.id == 0 {
		return
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		t.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		t.last = r.prev
	}
	r.prev, r.next, r.id = nil, nil, 0
	t.n--
}

// Len returns how many requests are live.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// All returns the live requests, the oldest first.
func (t *Table) All() []Live {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Live, 0, t.n)
	for r := t.first; r != nil; r = r.next {
		l := r.Live()
		l.ID = r.id
		all = append(all, l)
	}
	return all
}
