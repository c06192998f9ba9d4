package remux

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/netx"
)

// tickEvery is how often a conn looks whether its peer is alive.
const tickEvery = time.Second

// suspectAfter is how long a PING may be unanswered before new sessions go
// elsewhere.
const suspectAfter = time.Second

// jumpMax is how far the wall clock may run ahead of ours between two ticks
// before we conclude that the machine has slept.
const jumpMax = 5 * time.Second

// life is what a conn knows of its peer being there. Times are nanoseconds
// since the conn's birth.
type life struct {
	received atomic.Int64 // when something last came
	asked    atomic.Int64 // when something was first sent since; 0: nothing was

	// Guarded by conn.mu.
	timer     *time.Timer
	pingAt    time.Duration // when the PING without a PONG was sent; 0: there is none
	probeAt   time.Duration // when the last PING was sent; 0: something has come since
	pingID    uint64
	barrierID uint64        // the PING behind GOAWAY; 0: there is none
	measured  time.Duration // when the round trip was last asked for
	drainedAt time.Duration // when bytes of ours last left
	drained   int           // how many since the PING
	question  question
	taken     bool      // the question is in the batch being written; owned by the goroutine with the turn
	wall      time.Time // wall clock of the last tick
}

func (c *conn) age() time.Duration { return time.Since(c.born) }

func (l *life) start(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.wall = time.Now().Round(0)
	l.timer = time.AfterFunc(tickEvery, c.tick)
}

func (l *life) stopLocked() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// sent notes that the peer has something to answer.
func (l *life) sent(c *conn) { l.asked.CompareAndSwap(0, max(int64(c.age()), 1)) }

// came notes a sign of life.
func (c *conn) came(n int) {
	c.bytes.Add(int64(n))
	c.life.received.Store(max(int64(c.age()), 1))
	if c.life.asked.Load() != 0 {
		c.life.asked.Store(0)
	}
	if c.avoided.Load() && c.avoided.Swap(false) {
		c.owner.answered()
	}
}

// wrote notes that n bytes left. The caller has the turn.
func (c *conn) wrote(n int) {
	c.bytes.Add(int64(n))
	l := &c.life
	if l.asked.Load() == 0 && !l.taken {
		return
	}
	c.mu.Lock()
	if l.taken {
		l.taken = false
		l.question.leftLocked(c)
	}
	if l.probeAt != 0 {
		l.drained += n
		l.drainedAt = c.age()
	}
	c.mu.Unlock()
}

// pingLocked asks for a sign of life, and so measures the round trip.
func (l *life) pingLocked(c *conn) {
	if c.peer == peerBasic {
		return
	}
	l.pingID++
	l.pingAt = max(c.age(), 1)
	l.probeAt, l.measured = l.pingAt, l.pingAt
	l.drained, l.drainedAt = 0, 0
	l.question.askLocked(c, l.pingAt)
	c.ctrl = appendPing(c.ctrl, typePing, [8]byte(binary.BigEndian.AppendUint64(nil, l.pingID)))
	c.wake.Signal()
}

// barrierLocked sends the PING whose answer says that the peer has read all
// that was sent before.
func (l *life) barrierLocked(c *conn) {
	l.pingLocked(c)
	l.barrierID = l.pingID
}

// measureLocked asks for the round trip, at most every half second: windows
// are sized by it.
func (l *life) measureLocked(c *conn) {
	if l.pingAt == 0 && c.age()-l.measured > 500*time.Millisecond {
		l.pingLocked(c)
	}
}

// ponged is the answer to one of our PINGs, or to none.
func (c *conn) ponged(body [8]byte) {
	id := binary.BigEndian.Uint64(body[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.life
	if l.barrierID != 0 && id >= l.barrierID && id <= l.pingID {
		c.refuse = true
		c.closeIfDoneLocked()
	}
	if id != l.pingID || l.pingAt == 0 {
		return
	}
	sample := int64(c.age() - l.pingAt)
	l.pingAt = 0
	if c.rtts != nil {
		c.rtts.note(time.Duration(max(sample, 1)))
	}
	// The shortest is the path's own; longer ones have queued, and count little.
	if old := c.rttNanos.Load(); old != 0 && sample > old {
		sample = old + (sample-old)/8
	}
	c.rttNanos.Store(max(sample, 1))
}

// waitsLocked: a PING was sent and nothing has come since. Any byte is a sign of
// life; the PONG may be behind others.
func (l *life) waitsLocked() bool {
	return l.probeAt != 0 && time.Duration(l.received.Load()) < l.probeAt
}

// suspectLocked: the conn may be dead, so new sessions had better go elsewhere.
func (l *life) suspectLocked(c *conn) bool {
	if !l.waitsLocked() || c.rttNanos.Load() == 0 {
		return false
	}
	if at := l.question.movedAt; at > l.probeAt { // as of the last look
		return c.age()-at > max(suspectAfter+tickEvery, 2*c.rtt())
	}
	return c.age()-l.probeAt > max(suspectAfter, 2*c.rtt())
}

// tick looks after the conn once a second.
func (c *conn) tick() {
	c.mu.Lock()
	if c.state == dead {
		c.mu.Unlock()
		return
	}
	l := &c.life
	now := c.age()
	wall := time.Now().Round(0)
	slept := wall.Sub(l.wall) > tickEvery+jumpMax
	l.wall = wall
	l.timer.Reset(tickEvery)

	silent := now - time.Duration(l.received.Load())
	asked := time.Duration(l.asked.Load())
	var ended []*Session
	if c.peer == peerUnknown && now >= helloMax {
		ended = c.setBasicLocked()
	}
	basic := c.peer == peerBasic
	waits := l.waitsLocked()
	if waits {
		l.question.lookLocked(c, now)
	} else {
		l.probeAt = 0
	}
	died := waits && l.overdueLocked(now)
	switch {
	case died || c.peer == peerBasic:
	case !waits && (slept || silent >= c.cfg.Ping || (asked != 0 && now-asked >= answerMax)):
		l.pingLocked(c)
	}
	slow := c.avoided.Load() && !l.suspectLocked(c) && c.avoided.Swap(false)
	unused, idle := c.unusedLocked(now)
	stuck := c.stuckLocked(now)
	mute := (unused || died) && !c.dialer && !c.spoke
	c.mu.Unlock()
	for _, s := range ended {
		c.gone(s)
	}
	if basic && c.dialer {
		c.endUnanswered()
	}
	if mute {
		c.cfg.Hooks.refused(c.client, remoteOf(c.nc), errSilent)
	}
	if unused || stuck {
		c.kill()
	}
	if idle {
		c.drain(code.Idle, "")
	}
	if died {
		c.fail(errDead)
		return
	}
	if slow {
		c.owner.answered()
	}
	c.bar()
}

// closingMax is how long a conn without sessions, which is closing, waits for a peer
// that takes nothing of what is still to be sent.
const closingMax = time.Minute

// stuckLocked: the conn is closing, and its peer does not take what is left. That
// the peer goes on talking is no reason to wait for it.
func (c *conn) stuckLocked(now time.Duration) bool {
	if c.state != closing {
		return false
	}
	if p, ok := netx.Progress(c.nc); ok && p.Moved != c.closeSeen {
		c.closeSeen, c.closeFrom = p.Moved, now
	}
	return now-c.closeFrom >= closingMax
}

// overdueLocked: the PING has been unanswered for too long, with nothing else
// received. While the peer's system acknowledges bytes before it, or they still leave
// in quantity, the line is slow, not dead.
func (l *life) overdueLocked(now time.Duration) bool {
	waited := now - l.probeAt
	if waited < deathMax || now-l.question.movedAt < deathMax {
		return false
	}
	if l.drained >= batchMin/2 && now-l.drainedAt < deathMax {
		return waited >= deathSlow
	}
	return true
}
