// Package liveness decides when a conn sends a PING, measures the round trip, and detects
// a peer that does not respond. It is independent of package conn, which writes the
// frames.
package liveness

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/timing"
)

// TickEvery is how often a conn checks that its peer is alive.
const TickEvery = time.Second

// suspectAfter is how long a PING may go unanswered before new sessions use other conns.
const suspectAfter = time.Second

// jumpMax is how far the wall clock may run ahead of the monotonic one between two ticks
// before we assume that the machine has slept.
const jumpMax = 5 * time.Second

// Keepalive holds the state of PING and PONG in both directions: which PINGs have been
// sent and why, whether anything has arrived since, and the round-trip time. Times are
// ages of the conn. Methods whose names end in Locked require the conn's lock.
type Keepalive struct {
	// Immutable after Init.
	nc   net.Conn
	born time.Time
	ping time.Duration // silence before a PING

	received   atomic.Int64 // when something was last received
	unanswered atomic.Int64 // when something was first sent after that, or 0 if nothing was
	asked      atomic.Int64 // when Ask last sent a PING, or 0 if never; written under the conn's lock
	rttNanos   atomic.Int64 // 0 until measured; written under the conn's lock
	avoided    atomic.Bool  // the pool skipped the conn as suspect: notify the owner when something is received
	RTTs       *timing.RTTs // shared by all conns to the peer, or nil if not recorded; set before Start

	// Guarded by the conn's lock.
	timer     *time.Timer
	wall      time.Time     // wall clock at the last tick
	pingID    uint64        // ID of the last PING
	barrierID uint64        // ID of the PING sent after GOAWAY, or 0 if none
	pingAt    time.Duration // when the unanswered PING was sent, or 0
	probeAt   time.Duration // when the last PING that can end the conn was sent, or 0 if something was received since
	measured  time.Duration // when a measurement of the round trip last began
	drainedAt time.Duration // when the lower connection last accepted our bytes
	drained   int           // bytes accepted since the PING
	question  timing.Question
	pong      [8]byte // body of the PONG to send
	pongDue   bool

	taken bool // the question is in the batch being written; owned by the goroutine that holds the write lock
}

// Init prepares the keepalive of a conn that was created at born. Ping is how long the
// conn may be silent before a PING.
func (k *Keepalive) Init(nc net.Conn, born time.Time, ping time.Duration) {
	k.nc, k.born, k.ping = nc, born, ping
}

// StartLocked calls tick after TickEvery, and again whenever tick calls SleptLocked.
func (k *Keepalive) StartLocked(tick func()) {
	k.wall = time.Now().Round(0)
	k.timer = time.AfterFunc(TickEvery, tick)
}

// StopLocked ends the ticks.
func (k *Keepalive) StopLocked() {
	if k.timer != nil {
		k.timer.Stop()
	}
}

// SleptLocked begins a tick and reports whether the machine has slept since the last one.
func (k *Keepalive) SleptLocked() bool {
	wall := time.Now().Round(0)
	slept := wall.Sub(k.wall) > TickEvery+jumpMax
	k.wall = wall
	k.timer.Reset(TickEvery)
	return slept
}

// age returns the conn's age, which is never 0.
func (k *Keepalive) age() time.Duration { return max(time.Since(k.born), 1) }

// RTT returns the round trip, or 0 if it has not been measured yet.
func (k *Keepalive) RTT() time.Duration { return time.Duration(k.rttNanos.Load()) }

// last returns when something was last received, or 0 if nothing ever was.
func (k *Keepalive) last() time.Duration { return time.Duration(k.received.Load()) }

// Heard reports whether anything has ever been received.
func (k *Keepalive) Heard() bool { return k.received.Load() != 0 }

// NoteSent records that something was sent, to which the peer should respond.
func (k *Keepalive) NoteSent() { k.unanswered.CompareAndSwap(0, int64(k.age())) }

// NoteReceived records that something was received: any byte shows that the peer is
// alive. It reports whether the owner must be notified, because the conn had been avoided
// as suspect.
func (k *Keepalive) NoteReceived() (answered bool) {
	k.received.Store(int64(k.age()))
	if k.unanswered.Load() != 0 {
		k.unanswered.Store(0)
	}
	return k.avoided.Load() && k.avoided.Swap(false)
}

// Avoid records that the pool skips the conn as suspect. NoteReceived or RecoveredLocked
// then reports, once, that it has recovered.
func (k *Keepalive) Avoid() { k.avoided.Store(true) }

// RecoveredLocked reports, once, that a conn that was avoided is no longer suspect.
func (k *Keepalive) RecoveredLocked() bool {
	return k.avoided.Load() && !k.SuspectLocked() && k.avoided.Swap(false)
}

// WantsWritten reports whether WrittenLocked must be called for the bytes just written.
// The caller holds the write lock.
func (k *Keepalive) WantsWritten() bool { return k.unanswered.Load() != 0 || k.taken }

// WrittenLocked records that the lower connection accepted n bytes. The caller also holds
// the write lock.
func (k *Keepalive) WrittenLocked(n int) {
	if k.taken {
		k.taken = false
		k.question.Left(k.nc)
	}
	if k.probeAt != 0 {
		k.drained += n
		k.drainedAt = k.age()
	}
}

// AppendPingLocked appends a PING to the control frames; if nothing is received after it,
// the conn is lost.
func (k *Keepalive) AppendPingLocked(ctrl []byte) []byte {
	ctrl = k.appendLocked(ctrl, k.age())
	k.probeAt = k.pingAt
	k.drained, k.drainedAt = 0, 0
	return ctrl
}

// appendLocked appends a PING sent at age now, which measures the round trip.
func (k *Keepalive) appendLocked(ctrl []byte, now time.Duration) []byte {
	k.pingID++
	k.pingAt, k.measured = now, now
	k.question.Ask(k.nc, k.last(), now)
	return frame.AppendPing(ctrl, frame.TypePing, [8]byte(binary.BigEndian.AppendUint64(nil, k.pingID)))
}

// BarrierLocked makes the last PING the one whose PONG shows that the peer has read
// everything sent before it.
func (k *Keepalive) BarrierLocked() { k.barrierID = k.pingID }

// MeasureDueLocked reports whether to measure the round trip, which determines the size
// of windows: at most every half second.
func (k *Keepalive) MeasureDueLocked() bool {
	return k.pingAt == 0 && k.age()-k.measured > 500*time.Millisecond
}

// AskLocked appends a PING unless the peer already owes a response to one sent since
// heard, when the server was last heard from on any conn. It reports whether a response is
// owed now. Unlike the PING that AppendPingLocked appends, this one cannot end the conn. A
// peer that may not support PING (full is false) is sent none, and owes a response only if
// something else was sent to it and its first frame has yet to arrive.
func (k *Keepalive) AskLocked(ctrl []byte, full bool, heard time.Time) (out []byte, owed bool) {
	if at := k.AskedAt(); !at.IsZero() && !at.Before(heard) {
		return ctrl, true
	}
	if !full && (k.Heard() || k.unanswered.Load() == 0) {
		return ctrl, false
	}
	now := k.age()
	k.asked.Store(int64(now))
	if full {
		ctrl = k.appendLocked(ctrl, now)
	}
	return ctrl, true
}

// AskedAt returns when Ask began to expect a response that has yet to arrive, or the zero
// time if it expects none.
func (k *Keepalive) AskedAt() time.Time {
	at := k.asked.Load()
	if at == 0 || k.received.Load() >= at {
		return time.Time{}
	}
	return k.born.Add(time.Duration(at))
}

// LastHeard returns when something was last received, or the zero time if nothing ever
// was.
func (k *Keepalive) LastHeard() time.Time {
	if !k.Heard() {
		return time.Time{}
	}
	return k.born.Add(k.last())
}

// UnansweredFor returns how long our bytes have gone unanswered, or 0 if none are.
func (k *Keepalive) UnansweredFor() time.Duration {
	since := k.unanswered.Load()
	if since == 0 {
		return 0
	}
	return time.Since(k.born) - time.Duration(since)
}

// MovedLocked returns when the peer's kernel last acknowledged bytes ahead of the open
// question, or 0 if it has acknowledged none or no question is open.
func (k *Keepalive) MovedLocked() time.Duration {
	if !k.question.Open(k.last()) {
		return 0
	}
	k.question.Progress(k.nc, k.age())
	return k.question.MovedAt()
}

// PongsLocked reports whether a PONG is waiting to be written.
func (k *Keepalive) PongsLocked() bool { return k.pongDue }

// PingedLocked records a PING from the peer. Only the last of several gets a PONG.
func (k *Keepalive) PingedLocked(body [8]byte) { k.pong, k.pongDue = body, true }

// PongedLocked processes a PONG, which may not match any of our PINGs. It reports whether
// the peer has read GOAWAY.
func (k *Keepalive) PongedLocked(body [8]byte) bool {
	id := binary.BigEndian.Uint64(body[:])
	passed := k.barrierID != 0 && id >= k.barrierID && id <= k.pingID
	if id != k.pingID || k.pingAt == 0 {
		return passed
	}
	sample := max(int64(k.age()-k.pingAt), 1)
	k.pingAt = 0
	if k.RTTs != nil {
		k.RTTs.Note(time.Duration(sample))
	}
	// The shortest sample is that of the path itself; longer ones include queueing and
	// are given little weight.
	if old := k.rttNanos.Load(); old != 0 && sample > old {
		sample = old + (sample-old)/8
	}
	k.rttNanos.Store(sample)
	return passed
}

// BatchLocked appends the PONG to send, if any, to a batch and records that the batch
// contains the waiting PINGs. The caller holds the write lock.
func (k *Keepalive) BatchLocked(b []byte) []byte {
	if k.question.Take() {
		k.taken = true
	}
	if k.pongDue {
		k.pongDue = false
		b = frame.AppendPing(b, frame.TypePong, k.pong)
	}
	return b
}

// ForgetLocked stops waiting for PONGs from a peer that turns out to be basic.
func (k *Keepalive) ForgetLocked() { k.pingAt, k.probeAt = 0, 0 }
