package liveness

import (
	"time"

	"tunnels/remux/internal/flow"
)

// Limits that cannot be configured.
const (
	answerMax = 3 * time.Second  // send a PING if bytes sent have gone unanswered for this long
	deathMax  = 5 * time.Second  // a conn is dead if it receives nothing for this long after a PING
	deathSlow = 20 * time.Second // like deathMax, but while our bytes are still draining slowly
)

// waitsLocked reports whether a PING was sent and nothing has been received since. Any
// byte counts, because the PONG may be queued after others.
func (k *Keepalive) waitsLocked() bool {
	return k.probeAt != 0 && k.last() < k.probeAt
}

// SuspectLocked reports whether the conn may be dead, in which case new sessions should
// use other conns.
func (k *Keepalive) SuspectLocked() bool {
	if !k.waitsLocked() || k.rttNanos.Load() == 0 {
		return false
	}
	if at := k.question.MovedAt(); at > k.probeAt { // as of the last tick
		return k.age()-at > max(suspectAfter+TickEvery, 2*k.RTT())
	}
	return k.age()-k.probeAt > max(suspectAfter, 2*k.RTT())
}

// dueLocked reports whether to send a PING: the conn has been silent for Config.Ping, a
// response is late, or the machine has slept.
func (k *Keepalive) dueLocked(now time.Duration, slept bool) bool {
	silent := now - k.last()
	unanswered := time.Duration(k.unanswered.Load())
	return slept || silent >= k.ping || unanswered != 0 && now-unanswered >= answerMax
}

// CheckLocked reports whether a PING must be sent at age now, unless the peer is basic, or
// whether the peer has left one unanswered for too long.
func (k *Keepalive) CheckLocked(now time.Duration, slept bool) (ping, died bool) {
	if k.waitsLocked() {
		k.question.Progress(k.nc, now)
		return false, k.overdueLocked(now)
	}
	k.probeAt = 0
	return k.dueLocked(now, slept), false
}

// overdueLocked reports whether the PING has been unanswered for too long, with nothing
// else received. While the peer's kernel acknowledges bytes sent before the PING, or many
// of ours are still draining, the line is slow, not dead.
func (k *Keepalive) overdueLocked(now time.Duration) bool {
	waited := now - k.probeAt
	if waited < deathMax || now-k.question.MovedAt() < deathMax {
		return false
	}
	if k.drained >= flow.BatchMin/2 && now-k.drainedAt < deathMax {
		return waited >= deathSlow
	}
	return true
}
