package events

import "sync"

// Table holds a client's or server's live requests with their byte counts. It is cheap
// enough to be always enabled, because each entry is the Request itself, linked into a
// list. All methods are safe for concurrent use. The zero value is an empty table.
type Table struct {
	mu sync.Mutex
	// Guarded by mu.
	first, last *Request // oldest and newest
	n           int
	ids         uint64
}

// Events returns the hooks that keep the table up to date.
func (t *Table) Events() *Events {
	return &Events{
		RequestAccepted: t.add,
		RequestClosed:   func(r *Request, _ End) { t.remove(r) },
	}
}

// add assigns an id to r and appends it.
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

// remove removes r. Further calls do nothing.
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

// Len returns the number of live requests.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// All returns the live requests, oldest first.
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
