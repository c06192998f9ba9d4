package events

import (
	"sync/atomic"
	"time"
)

// Request is one request and what is carried for it, from its acceptance to its end.
// At the client that is an application's, at the server a session's.
type Request struct {
	// Static.
	Client string // name in the client's certificate; at the client itself, and without one, empty
	Target string // host:port; udp:host:port for an association, with the address where it takes datagrams
	Plain  bool   // no remux beneath, so a failed target and an application that went away are resets
	began  time.Time

	// Up and Down count bytes from the application to the target, and from it, as they
	// are moved.
	Up, Down atomic.Int64

	// How long each step took, in nanoseconds; 0 if it was not taken (yet).
	resolving, connecting, answering atomic.Int64
	server                           atomic.Pointer[string]

	started atomic.Bool
	count   atomic.Pointer[func() (up, down uint64)] // instead of Up and Down, or nil

	// Guarded by Table.mu.
	id         uint64
	prev, next *Request
}

// NewRequest returns a request that is accepted now.
func NewRequest(client, target string) *Request {
	return &Request{Client: client, Target: target, began: time.Now()}
}

// Began returns when the request was accepted.
func (r *Request) Began() time.Time { return r.began }

// Lasted returns how long ago that was.
func (r *Request) Lasted() time.Duration { return max(time.Since(r.began), 1) }

// Start notes that the request is on its way and returns false if it was already.
func (r *Request) Start() bool { return !r.started.Swap(true) }

// Started reports whether the request has been on its way to its target.
func (r *Request) Started() bool { return r.started.Load() }

// Resolved notes how long the target's name took.
func (r *Request) Resolved(took time.Duration) { r.resolving.Store(int64(took)) }

// Connected notes how long connecting to the target took, or at the client the
// server's word for it.
func (r *Request) Connected(took time.Duration) { r.connecting.Store(int64(took)) }

// Answered notes that the first byte has come from the target.
func (r *Request) Answered() { r.answering.Store(int64(r.Lasted())) }

// Via notes the server that the request goes to.
func (r *Request) Via(server string) { r.server.Store(&server) }

// CountWith has count asked for the bytes each way, instead of Up and Down. It must
// stay callable after the request has ended.
func (r *Request) CountWith(count func() (up, down uint64)) { r.count.Store(&count) }

// Moved returns the bytes from the application to the target so far, and from it.
func (r *Request) Moved() (up, down int64) {
	if count := r.count.Load(); count != nil {
		up, down := (*count)()
		return int64(up), int64(down)
	}
	return r.Up.Load(), r.Down.Load()
}

// Live returns the request as it is now.
func (r *Request) Live() Live {
	up, down := r.Moved()
	l := Live{
		Client: r.Client, Target: r.Target, Began: r.began, Up: up, Down: down,
		Resolve:   time.Duration(r.resolving.Load()),
		Connect:   time.Duration(r.connecting.Load()),
		FirstByte: time.Duration(r.answering.Load()),
	}
	if s := r.server.Load(); s != nil {
		l.Server = *s
	}
	return l
}

// Live is a Request at one moment.
type Live struct {
	ID       uint64 // unique in the process's life
	Client   string // see Request
	Target   string
	Server   string // at a client with several servers, the one in use
	Began    time.Time
	Up, Down int64 // bytes so far
	// Resolve and Connect are how long these steps took, FirstByte how long after Began
	// the target answered. 0 if that has not happened, or is not known here.
	Resolve, Connect, FirstByte time.Duration
}
