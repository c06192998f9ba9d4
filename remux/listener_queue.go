package remux

import (
	"container/list"
	"net"
	"sync"

	"tunnels/internal/code"
)

// backlog is how many sessions may wait for Accept.
const backlog = 1024

// acceptQueue holds the sessions that wait for Accept. When it is full, sessions
// that have ended give way first; then the client with the most sessions in it
// loses its newest one, so that one client cannot fill it for the others.
type acceptQueue struct {
	mu sync.Mutex // a leaf: no other lock is taken while it is held
	// Guarded by mu.
	some     sync.Cond
	all      list.List // of *queued, the oldest first
	ended    list.List // of *queued: those of all whose session has ended
	of       map[*session]*queued
	byClient map[string]*list.List // of *queued, the oldest first
	err      error                 // returned by Accept once all is empty, or nil if it waits
}

// queued is a session in the queue.
type queued struct {
	s      *session
	client string

	// The elements that hold it. Guarded by acceptQueue.mu.
	inAll, inClient *list.Element
	inEnded         *list.Element // nil if the session has not ended
}

func newAcceptQueue() *acceptQueue {
	q := &acceptQueue{of: map[*session]*queued{}, byClient: map[string]*list.List{}}
	q.some.L = &q.mu
	return q
}

// put adds a session of that client. It returns the session that must be refused
// because there is no room, which may be s or another, or nil; and one that has ended
// and lost its place, or nil.
func (q *acceptQueue) put(s *session, client string) (refused, ended *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all.Len() >= backlog {
		if e := q.ended.Front(); e != nil {
			ended = q.removeLocked(e.Value.(*queued))
		} else if most := q.mostLocked(); most.Len() > q.lenLocked(client)+1 {
			refused = q.removeLocked(most.Back().Value.(*queued))
		} else {
			return s, nil
		}
	}
	w := &queued{s: s, client: client}
	mine := q.byClient[client]
	if mine == nil {
		mine = list.New()
		q.byClient[client] = mine
	}
	w.inAll, w.inClient = q.all.PushBack(w), mine.PushBack(w)
	q.of[s] = w
	select {
	case <-s.Done():
		w.inEnded = q.ended.PushBack(w)
	default:
	}
	q.some.Signal()
	return refused, ended
}

// mostLocked returns the waiting sessions of the client that has the most.
func (q *acceptQueue) mostLocked() (most *list.List) {
	for _, l := range q.byClient {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

func (q *acceptQueue) lenLocked(client string) int {
	if l := q.byClient[client]; l != nil {
		return l.Len()
	}
	return 0
}

func (q *acceptQueue) removeLocked(w *queued) *session {
	q.all.Remove(w.inAll)
	if w.inEnded != nil {
		q.ended.Remove(w.inEnded)
	}
	mine := q.byClient[w.client]
	mine.Remove(w.inClient)
	if mine.Len() == 0 {
		delete(q.byClient, w.client)
	}
	delete(q.of, w.s)
	return w.s
}

// noteEnd notes that s has ended, if it waits.
func (q *acceptQueue) noteEnd(s *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.of[s]; w != nil && w.inEnded == nil {
		w.inEnded = q.ended.PushBack(w)
	}
}

// take waits for a session. Once none waits, it returns the error given to finish.
func (q *acceptQueue) take() (net.Conn, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.all.Len() == 0 && q.err == nil {
		q.some.Wait()
	}
	if e := q.all.Front(); e != nil {
		return q.removeLocked(e.Value.(*queued)), nil
	}
	return nil, q.err
}

// finish makes take fail with err from now on, unless it fails already.
func (q *acceptQueue) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.some.Broadcast()
}

// drop resets the sessions that will not be accepted any more.
func (q *acceptQueue) drop() {
	for {
		q.mu.Lock()
		e := q.all.Front()
		if e == nil {
			q.mu.Unlock()
			return
		}
		s := q.removeLocked(e.Value.(*queued))
		q.mu.Unlock()
		s.Reset(code.GoingAway, "")
	}
}

func errQueueFull() *code.Error {
	return &code.Error{Code: code.Overload, Text: "too many sessions wait to be accepted"}
}
