package events

import (
	"sync/atomic"
	"time"
)

// Request is an accepted request, with its byte counts. At the client it was received
// from an application, at the server on a session.
type Request struct {
	// Immutable after creation.
	Client string // name in the client's certificate; empty at the client itself or without a certificate
	Target string // host:port or, for an association, udp:host:port with the address that it receives datagrams on
	Plain  bool   // without remux, so a failed target or a disconnected application appears as a reset
	began  time.Time

	// Up and Down count the bytes carried to the target and back to the application.
	Up, Down atomic.Int64

	// Durations of the steps in nanoseconds, or 0 until completed.
	resolving, connecting, answering atomic.Int64
	server                           atomic.Pointer[string]

	started atomic.Bool
	count   atomic.Pointer[func() (up, down uint64)] // replaces Up and Down if not nil

	// Guarded by Table.mu.
	id         uint64
	prev, next *Request
}

// NewRequest returns a Request accepted at the current time.
func NewRequest(client, target string) *Request {
	return &Request{Client: client, Target: target, began: time.Now()}
}

// Began returns the time at which the request was accepted.
func (r *Request) Began() time.Time { return r.began }

// Lasted returns the time since the request was accepted.
func (r *Request) Lasted() time.Duration { return max(time.Since(r.began), 1) }

// Start marks the request as started. It returns false if it was already started.
func (r *Request) Start() bool { return !r.started.Swap(true) }

// Started reports whether Start was called.
func (r *Request) Started() bool { return r.started.Load() }

// Resolved records how long resolving the target's name took.
func (r *Request) Resolved(took time.Duration) { r.resolving.Store(int64(took)) }

// Connected records how long connecting to the target took or, at the client, how long
// the server took to confirm it.
func (r *Request) Connected(took time.Duration) { r.connecting.Store(int64(took)) }

// Answered records that the first byte has arrived from the target.
func (r *Request) Answered() { r.answering.Store(int64(r.Lasted())) }

// Via records the server to which the request is sent.
func (r *Request) Via(server string) { r.server.Store(&server) }

// CountWith sets a function that replaces the counters Up and Down. count may be called
// even after the request has ended.
func (r *Request) CountWith(count func() (up, down uint64)) { r.count.Store(&count) }

// Moved returns how many bytes have been carried to the target and back to the
// application.
func (r *Request) Moved() (up, down int64) {
	if count := r.count.Load(); count != nil {
		up, down := (*count)()
		return int64(up), int64(down)
	}
	return r.Up.Load(), r.Down.Load()
}

// Live returns a snapshot of the request.
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

// Live is a snapshot of a Request.
type Live struct {
	ID       uint64 // unique within a Table
	Client   string // see Request
	Target   string
	Server   string // at a client, the address of the server used
	Began    time.Time
	Up, Down int64 // bytes so far
	// Resolve and Connect are the durations of these steps, and FirstByte is the time
	// from Began to the target's first byte. 0 means not completed, or unknown at this
	// end.
	Resolve, Connect, FirstByte time.Duration
}
