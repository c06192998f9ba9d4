// Package backlog queues the sessions that wait for Accept, so that no client can lock the
// others out, and says which client a connection belongs to. It knows no conn.
package backlog

import (
	"container/list"
	"net"
	"sync"

	"tunnels/internal/code"
)

// Max is how many sessions may wait for Accept.
const Max = 1024

// Session is a session as the queue needs it.
type Session interface {
	net.Conn
	Done() <-chan struct{}
	Reset(why code.Code, text string) error
}

// Queue holds the sessions that wait for Accept. When it is full, sessions
// that have ended give way first; then the client with the most sessions in it
// loses its newest one, so that one client cannot fill it for the others.
type Queue struct {
	mu sync.Mutex // a leaf: no other lock is taken while it is held
	// Guarded by mu.
	some     sync.Cond
	all      list.List // of *queued, the oldest first
	ended    list.List // of *queued: those of all whose session has ended
	of       map[Session]*queued
	byClient map[string]*list.List // of *queued, the oldest first
	err      error                 // returned by Accept once all is empty, or nil if it waits
}

// queued is a session in the queue.
type queued struct {
	s      Session
	client string

	// The elements that hold it. Guarded by Queue.mu.
	inAll, inClient *list.Element
	inEnded         *list.Element // nil if the session has not ended
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := &Queue{of: map[Session]*queued{}, byClient: map[string]*list.List{}}
	q.some.L = &q.mu
	return q
}

// Put adds a session of that client. It returns the session that must be refused
// because there is no room, which may be s or another, or nil; and one that has ended
// and lost its place, or nil.
func (q *Queue) Put(s Session, client string) (refused, ended Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all.Len() >= Max {
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
func (q *Queue) mostLocked() (most *list.List) {
	for _, l := range q.byClient {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

func (q *Queue) lenLocked(client string) int {
	if l := q.byClient[client]; l != nil {
		return l.Len()
	}
	return 0
}

func (q *Queue) removeLocked(w *queued) Session {
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

// NoteEnd notes that s has ended, if it waits.
func (q *Queue) NoteEnd(s Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.of[s]; w != nil && w.inEnded == nil {
		w.inEnded = q.ended.PushBack(w)
	}
}

// Take waits for a session. Once none waits, it returns the error given to Finish.
func (q *Queue) Take() (net.Conn, error) {
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

// Finish makes Take fail with err from now on, unless it fails already.
func (q *Queue) Finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.some.Broadcast()
}

// Drop resets the sessions that will not be accepted any more.
func (q *Queue) Drop() {
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
