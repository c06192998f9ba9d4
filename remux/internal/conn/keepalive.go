package conn

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/timing"
)

// tickEvery is how often a conn checks that its peer is alive.
const tickEvery = time.Second

// suspectAfter is how long a PING may be unanswered before new sessions go
// elsewhere.
const suspectAfter = time.Second

// jumpMax is how far the wall clock may run ahead of the monotonic one between two
// ticks before the machine is taken to have slept.
const jumpMax = 5 * time.Second

// keepalive owns all that concerns PING and PONG, both ways: which PINGs were sent
// and why, what has come since, and the round trip. Times are since the conn's birth.
type keepalive struct {
	received   atomic.Int64 // when something last came
	unanswered atomic.Int64 // when something was first sent since, or 0 if nothing was
	asked      atomic.Int64 // when Ask last asked, or 0 if it never did; written under Conn.mu
	rttNanos   atomic.Int64 // 0 until it is measured; written under Conn.mu
	avoided    atomic.Bool  // the pool has passed the conn over as suspect: tell the owner when something comes
	rtts       *timing.RTTs // of all conns to that peer, or nil if they are not kept; set before Run

	// Guarded by Conn.mu.
	timer     *time.Timer
	wall      time.Time     // wall clock of the last tick
	pingID    uint64        // of the last PING
	barrierID uint64        // of the PING behind GOAWAY, or 0 if there is none
	pingAt    time.Duration // when the PING without a PONG was sent, or 0
	probeAt   time.Duration // when the last PING was sent that decides over the conn, or 0 if something has come since
	measured  time.Duration // when the round trip was last asked for
	drainedAt time.Duration // when bytes of this end last left
	drained   int           // how many left since the PING
	question  timing.Question
	pong      [8]byte // the body of the PONG that is due
	pongDue   bool

	taken bool // the question is in the batch being written; owned by the goroutine with the write lock
}

func (k *keepalive) start(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.wall = time.Now().Round(0)
	k.timer = time.AfterFunc(tickEvery, c.tick)
}

func (k *keepalive) stopLocked() {
	if k.timer != nil {
		k.timer.Stop()
	}
}

// rtt returns the round trip, or 0 if it is not measured yet.
func (k *keepalive) rtt() time.Duration { return time.Duration(k.rttNanos.Load()) }

// last returns when something last came, or 0 if nothing ever did.
func (k *keepalive) last() time.Duration { return time.Duration(k.received.Load()) }

// heard reports whether anything has ever come.
func (k *keepalive) heard() bool { return k.received.Load() != 0 }

// sent notes that the peer has something to answer.
func (k *keepalive) sent(c *Conn) { k.unanswered.CompareAndSwap(0, max(int64(c.Age()), 1)) }

// came notes n received bytes, each of which shows that the peer is alive.
func (c *Conn) came(n int) {
	c.bytes.Add(int64(n))
	k := &c.keepalive
	k.received.Store(max(int64(c.Age()), 1))
	if k.unanswered.Load() != 0 {
		k.unanswered.Store(0)
	}
	if k.avoided.Load() && k.avoided.Swap(false) {
		c.owner.Answered()
	}
}

// wrote notes that n bytes left. The caller has the write lock.
func (c *Conn) wrote(n int) {
	c.bytes.Add(int64(n))
	k := &c.keepalive
	if k.unanswered.Load() == 0 && !k.taken {
		return
	}
	c.mu.Lock()
	if k.taken {
		k.taken = false
		k.question.Left(c.nc)
	}
	if k.probeAt != 0 {
		k.drained += n
		k.drainedAt = c.Age()
	}
	c.mu.Unlock()
}

// pingLocked sends a PING: if nothing comes in answer, the conn is lost.
func (k *keepalive) pingLocked(c *Conn) {
	if c.peer.kind == peerBasic {
		return
	}
	k.sendLocked(c, max(c.Age(), 1))
	k.probeAt = k.pingAt
	k.drained, k.drainedAt = 0, 0
}

// sendLocked sends a PING at age now, which measures the round trip.
func (k *keepalive) sendLocked(c *Conn, now time.Duration) {
	k.pingID++
	k.pingAt, k.measured = now, now
	k.question.Ask(c.nc, k.last(), now)
	c.out.ctrl = frame.AppendPing(c.out.ctrl, frame.TypePing, [8]byte(binary.BigEndian.AppendUint64(nil, k.pingID)))
	c.out.wake.Signal()
}

// barrierLocked sends the PING whose PONG says that the peer has read everything
// sent before.
func (k *keepalive) barrierLocked(c *Conn) {
	k.pingLocked(c)
	k.barrierID = k.pingID
}

// measureLocked measures the round trip, by which windows are sized, at most every
// half second.
func (k *keepalive) measureLocked(c *Conn) {
	if k.pingAt == 0 && c.Age()-k.measured > 500*time.Millisecond {
		k.pingLocked(c)
	}
}

// askLocked asks for an answer unless one is owed since heard already, when the
// server was last heard of on any conn; it reports whether one is owed now. Unlike
// that of pingLocked, this PING has no consequences for the conn. A peer that may not
// know PING is only watched, until its first frame comes, and only when it has
// something to answer.
func (k *keepalive) askLocked(c *Conn, heard time.Time) bool {
	if at := c.AskedAt(); !at.IsZero() && !at.Before(heard) {
		return true
	}
	if c.peer.kind != peerFull && (k.heard() || k.unanswered.Load() == 0) {
		return false
	}
	now := max(c.Age(), 1)
	k.asked.Store(int64(now))
	if c.peer.kind == peerFull {
		k.sendLocked(c, now)
	}
	return true
}

// AskedAt returns when the question was asked that the peer owes an answer to, or
// the zero time if it owes none.
func (c *Conn) AskedAt() time.Time {
	at := c.keepalive.asked.Load()
	if at == 0 || c.keepalive.received.Load() >= at {
		return time.Time{}
	}
	return c.born.Add(time.Duration(at))
}

// movedLocked returns when the peer's system last came nearer to the open question, or 0
// if it has not or there is none.
func (k *keepalive) movedLocked(c *Conn) time.Duration {
	if !k.question.Open(k.last()) {
		return 0
	}
	k.question.Progress(c.nc, c.Age())
	return k.question.MovedAt()
}

// pongsLocked reports whether a PONG waits to be written.
func (k *keepalive) pongsLocked() bool { return k.pongDue }

// pingedLocked notes a PING of the peer. Of several, only the last is answered.
func (k *keepalive) pingedLocked(c *Conn, body [8]byte) {
	k.pong, k.pongDue = body, true
	c.out.wake.Signal()
}

// pongedLocked notes the answer to a PING, or to none. It reports whether the peer
// has read GOAWAY.
func (k *keepalive) pongedLocked(c *Conn, body [8]byte) bool {
	id := binary.BigEndian.Uint64(body[:])
	passed := k.barrierID != 0 && id >= k.barrierID && id <= k.pingID
	if id != k.pingID || k.pingAt == 0 {
		return passed
	}
	sample := max(int64(c.Age()-k.pingAt), 1)
	k.pingAt = 0
	if k.rtts != nil {
		k.rtts.Note(time.Duration(sample))
	}
	// The shortest is the path's own; longer ones have queued, and count little.
	if old := k.rttNanos.Load(); old != 0 && sample > old {
		sample = old + (sample-old)/8
	}
	k.rttNanos.Store(sample)
	return passed
}

// batchLocked appends a PONG that is due to a batch and notes that the batch has the
// PINGs that were waiting. The caller has the write lock.
func (k *keepalive) batchLocked(b []byte) []byte {
	if k.question.Take() {
		k.taken = true
	}
	if k.pongDue {
		k.pongDue = false
		b = frame.AppendPing(b, frame.TypePong, k.pong)
	}
	return b
}

// forgetLocked gives up waiting for PONGs of a peer that turns out to be basic.
func (k *keepalive) forgetLocked() { k.pingAt, k.probeAt = 0, 0 }

// waitsLocked reports whether a PING was sent and nothing has come since. Any byte
// counts; the PONG may be behind others.
func (k *keepalive) waitsLocked() bool {
	return k.probeAt != 0 && k.last() < k.probeAt
}

// suspectLocked reports whether the conn may be dead, so that new sessions had better
// go elsewhere.
func (k *keepalive) suspectLocked(c *Conn) bool {
	if !k.waitsLocked() || k.rttNanos.Load() == 0 {
		return false
	}
	if at := k.question.MovedAt(); at > k.probeAt { // as of the last tick
		return c.Age()-at > max(suspectAfter+tickEvery, 2*k.rtt())
	}
	return c.Age()-k.probeAt > max(suspectAfter, 2*k.rtt())
}

// dueLocked reports whether a PING is due: the conn was silent for Config.Ping, an
// answer is late, or the machine has slept.
func (k *keepalive) dueLocked(c *Conn, now time.Duration, slept bool) bool {
	silent := now - k.last()
	unanswered := time.Duration(k.unanswered.Load())
	return slept || silent >= c.cfg.Ping || unanswered != 0 && now-unanswered >= answerMax
}

// checkLocked sends a PING if one is due. It reports whether the peer has left one
// unanswered for too long.
func (k *keepalive) checkLocked(c *Conn, now time.Duration, slept bool) (died bool) {
	if k.waitsLocked() {
		k.question.Progress(c.nc, now)
		return k.overdueLocked(now)
	}
	k.probeAt = 0
	if c.peer.kind != peerBasic && k.dueLocked(c, now, slept) {
		k.pingLocked(c)
	}
	return false
}

// overdueLocked reports whether the PING has been unanswered for too long, with
// nothing else received. While the peer's system acknowledges bytes before it, or
// they still leave in quantity, the line is slow, not dead.
func (k *keepalive) overdueLocked(now time.Duration) bool {
	waited := now - k.probeAt
	if waited < deathMax || now-k.question.MovedAt() < deathMax {
		return false
	}
	if k.drained >= flow.BatchMin/2 && now-k.drainedAt < deathMax {
		return waited >= deathSlow
	}
	return true
}
