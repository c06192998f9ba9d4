// Package backlog queues the sessions that wait for Accept, so that no client can lock
// the others out, and determines which client a connection belongs to. It is independent
// of package conn.
package backlog

import (
	"container/list"
	"net"
	"sync"

	"tunnels/internal/code"
)

// Max is the maximum number of sessions waiting for Accept.
const Max = 1024

// Session is the part of a session that the queue uses.
type Session interface {
	net.Conn
	Done() <-chan struct{}
	Reset(why code.Code, text string) error
}

// Queue holds the sessions that wait for Accept. When it is full, sessions that have
// ended are dropped first; then the client with the most queued sessions loses its newest
// one, so that no client can lock the others out.
type Queue struct {
	mu sync.Mutex // a leaf: no other lock is acquired while it is held
	// Guarded by mu.
	some     sync.Cond
	all      list.List // of *queued, oldest first
	ended    list.List // of *queued: those in all that have ended
	of       map[Session]*queued
	byClient map[string]*list.List // of *queued, oldest first
	err      error                 // returned by Take once all is empty; nil while Take may wait
}

// queued is a session in the queue.
type queued struct {
	s      Session
	client string

	// Its elements in the queue's lists. Guarded by Queue.mu.
	inAll, inClient *list.Element
	inEnded         *list.Element // nil if the session has not ended
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := &Queue{of: map[Session]*queued{}, byClient: map[string]*list.List{}}
	q.some.L = &q.mu
	return q
}

// Put queues a session from the given client. If the queue is full, it returns either the
// session to refuse, which may be s, or the ended session that it has dropped.
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

// mostLocked returns the queued sessions of the client that has the most.
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

// NoteEnd records that s has ended, if it is queued.
func (q *Queue) NoteEnd(s Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.of[s]; w != nil && w.inEnded == nil {
		w.inEnded = q.ended.PushBack(w)
	}
}

// Take waits for a session. After Finish, it returns the error once the queue is empty.
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

// Finish makes Take fail with err once the queue is empty, unless an earlier call set an
// error.
func (q *Queue) Finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.some.Broadcast()
}

// Drop resets the sessions still queued, which will never be accepted.
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
