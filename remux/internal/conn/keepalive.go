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

// suspectAfter is how long a PING may go unanswered before new sessions use other conns.
const suspectAfter = time.Second

// jumpMax is how far the wall clock may run ahead of the monotonic one between two ticks
// before we assume that the machine has slept.
const jumpMax = 5 * time.Second

// keepalive holds the state of PING and PONG in both directions: which PINGs have been
// sent and why, whether anything has arrived since, and the round-trip time. Times are
// ages of the conn.
type keepalive struct {
	received   atomic.Int64 // when something was last received
	unanswered atomic.Int64 // when something was first sent after that, or 0 if nothing was
	asked      atomic.Int64 // when Ask last sent a PING, or 0 if never; written under Conn.mu
	rttNanos   atomic.Int64 // 0 until measured; written under Conn.mu
	avoided    atomic.Bool  // the pool skipped the conn as suspect: notify the owner when something is received
	rtts       *timing.RTTs // shared by all conns to the peer, or nil if not recorded; set before Run

	// Guarded by Conn.mu.
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

// rtt returns the round trip, or 0 if it has not been measured yet.
func (k *keepalive) rtt() time.Duration { return time.Duration(k.rttNanos.Load()) }

// last returns when something was last received, or 0 if nothing ever was.
func (k *keepalive) last() time.Duration { return time.Duration(k.received.Load()) }

// heard reports whether anything has ever been received.
func (k *keepalive) heard() bool { return k.received.Load() != 0 }

// sent records that something was sent, to which the peer should respond.
func (k *keepalive) sent(c *Conn) { k.unanswered.CompareAndSwap(0, max(int64(c.Age()), 1)) }

// noteReceived records n received bytes. Any byte shows that the peer is alive.
func (c *Conn) noteReceived(n int) {
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

// noteWritten records that the lower connection accepted n bytes. The caller holds the
// write lock.
func (c *Conn) noteWritten(n int) {
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

// pingLocked sends a PING; if nothing is received after it, the conn is lost.
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

// barrierLocked sends the PING whose PONG shows that the peer has read everything sent
// before it.
func (k *keepalive) barrierLocked(c *Conn) {
	k.pingLocked(c)
	k.barrierID = k.pingID
}

// measureLocked measures the round trip, which determines the size of windows, at most
// every half second.
func (k *keepalive) measureLocked(c *Conn) {
	if k.pingAt == 0 && c.Age()-k.measured > 500*time.Millisecond {
		k.pingLocked(c)
	}
}

// askLocked sends a PING unless the peer already owes a response to one sent since heard,
// when the server was last heard from on any conn. It reports whether a response is owed
// now. Unlike the PING that pingLocked sends, this one cannot end the conn. A peer that
// may not support PING is sent none, and owes a response only if something else was sent
// to it and its first frame has yet to arrive.
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

// AskedAt returns when Ask began to expect a response that has yet to arrive, or the zero
// time if it expects none.
func (c *Conn) AskedAt() time.Time {
	at := c.keepalive.asked.Load()
	if at == 0 || c.keepalive.received.Load() >= at {
		return time.Time{}
	}
	return c.born.Add(time.Duration(at))
}

// movedLocked returns when the peer's kernel last acknowledged bytes ahead of the open
// question, or 0 if it has acknowledged none or no question is open.
func (k *keepalive) movedLocked(c *Conn) time.Duration {
	if !k.question.Open(k.last()) {
		return 0
	}
	k.question.Progress(c.nc, c.Age())
	return k.question.MovedAt()
}

// pongsLocked reports whether a PONG is waiting to be written.
func (k *keepalive) pongsLocked() bool { return k.pongDue }

// pingedLocked records a PING from the peer. Only the last of several gets a PONG.
func (k *keepalive) pingedLocked(c *Conn, body [8]byte) {
	k.pong, k.pongDue = body, true
	c.out.wake.Signal()
}

// pongedLocked processes a PONG, which may not match any of our PINGs. It reports whether
// the peer has read GOAWAY.
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
	// The shortest sample is that of the path itself; longer ones include queueing and
	// are given little weight.
	if old := k.rttNanos.Load(); old != 0 && sample > old {
		sample = old + (sample-old)/8
	}
	k.rttNanos.Store(sample)
	return passed
}

// batchLocked appends the PONG to send, if any, to a batch and records that the batch
// contains the waiting PINGs. The caller holds the write lock.
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

// forgetLocked stops waiting for PONGs from a peer that turns out to be basic.
func (k *keepalive) forgetLocked() { k.pingAt, k.probeAt = 0, 0 }

// waitsLocked reports whether a PING was sent and nothing has been received since. Any
// byte counts, because the PONG may be queued after others.
func (k *keepalive) waitsLocked() bool {
	return k.probeAt != 0 && k.last() < k.probeAt
}

// suspectLocked reports whether the conn may be dead, in which case new sessions should
// use other conns.
func (k *keepalive) suspectLocked(c *Conn) bool {
	if !k.waitsLocked() || k.rttNanos.Load() == 0 {
		return false
	}
	if at := k.question.MovedAt(); at > k.probeAt { // as of the last tick
		return c.Age()-at > max(suspectAfter+tickEvery, 2*k.rtt())
	}
	return c.Age()-k.probeAt > max(suspectAfter, 2*k.rtt())
}

// dueLocked reports whether to send a PING: the conn has been silent for Config.Ping, a
// response is late, or the machine has slept.
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

// overdueLocked reports whether the PING has been unanswered for too long, with nothing
// else received. While the peer's kernel acknowledges bytes sent before the PING, or many
// of ours are still draining, the line is slow, not dead.
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
