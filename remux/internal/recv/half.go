// Package recv is the receiving half of a session: the bytes that have arrived and are
// still unread, the window granted to the peer, and the end of the peer's direction. It is
// independent of package conn, which it calls through Owner.
package recv

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/timing"
)

// Limits for the sessions of a basic peer.
const (
	BasicStall = 30 * time.Second // how long a basic peer's conn waits for one application
	BasicMax   = 1 << 20          // most bytes buffered for one session of a basic peer
)

// Owner is the session that a Half belongs to. Its methods are called with no lock held,
// except RTT, which must not acquire any.
type Owner interface {
	Announce()             // tells the peer about a session that has nothing to send yet
	WindowDue()            // sends a WINDOW with Granted soon
	Abort(why *code.Error) // ends the session with the given reason
	RTT() time.Duration    // of the conn that the session sends on, or 0 if it has not been measured yet
}

// Half is the receiving half of a session. C identifies a conn.
type Half[C comparable] struct {
	owner Owner // immutable after Start

	// Accepted is set once a frame for the session has arrived, so the peer has it.
	Accepted atomic.Bool

	// Basic is set if the peer does not support windows.
	Basic atomic.Bool

	heldEnd atomic.Bool   // held has the peer's FIN or RESET
	granted atomic.Uint64 // the limit that WINDOW announces; written under mu

	// mu guards the fields below. No method of Owner that acquires a lock is called while
	// holding it.
	mu      sync.Mutex
	rcond   sync.Cond
	rbuf    flow.Buffer
	lent    *flow.Chunk        // lent out by Peek
	sink    func([][]byte) int // see SetSink; nil if not set
	onRead  func()             // see OnReadable; nil if not set
	onEnd   func(error, bool)  // see OnEnd; nil if not set or already called
	over    bool               // nothing written from now on can be delivered
	overErr error              // reason for over, or nil after a clean end
	silence silence
	handing bool  // sink is processing received bytes
	rerr    error // returned by Read once rbuf is empty; set once
	kept    bool  // rerr follows bytes that can still be read
	rclosed bool  // the application will read no more
	rdl     timing.Deadline
	flow    flow.Window
	source  C        // whose frames are the next ones in order
	move    *Move[C] // on the acceptor, an unfinished move
	held    held     // what has arrived on another conn than source
}

// Start initializes the half of a session that receives on source. Most is the largest
// window; basic reports whether the peer does not support windows.
func (h *Half[C]) Start(o Owner, source C, budget *flow.Budget, most int64, basic bool) {
	h.owner, h.source = o, source
	h.rcond.L = &h.mu
	h.Basic.Store(basic)
	h.flow.Start(budget, most, basic)
	h.granted.Store(h.flow.Limit)
}

// Granted returns the number of payload bytes that the peer may send, counted from the
// opening.
func (h *Half[C]) Granted() uint64 { return h.granted.Load() }

// DelayWindow makes the first WINDOW wait for the next frame to go out. It must be called
// before any other goroutine can see the session.
func (h *Half[C]) DelayWindow() { h.flow.Lazy = true }

// SetReadDeadline sets the time after which Read fails; the zero time means never.
func (h *Half[C]) SetReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rclosed {
		return net.ErrClosed
	}
	h.rdl.At(t, side[C]{h})
	return nil
}

// side implements timing.Side.
type side[C comparable] struct{ half *Half[C] }

// Lock implements timing.Side.
func (s side[C]) Lock() { s.half.mu.Lock() }

// Unlock implements timing.Side.
func (s side[C]) Unlock() { s.half.mu.Unlock() }

// WakeLocked implements timing.Side.
func (s side[C]) WakeLocked() { s.half.wakeReaderLocked() }

// silence tracks how long a session has received nothing. Half.mu guards it.
type silence struct {
	since    time.Duration // age of the conn when the silence was first noticed; 0 before the first check
	received uint64        // bytes received by that time
}

// SilentFor returns how long the session has received nothing, as observed by the calls
// so far. Time during which the application has unread bytes does not count against the
// server.
func (h *Half[C]) SilentFor(now time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := &h.silence; q.since == 0 || q.received != h.flow.Received || h.rbuf.Len > 0 || h.lent != nil {
		q.since, q.received = now, h.flow.Received
	}
	return now - h.silence.since
}
