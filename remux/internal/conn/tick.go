package conn

import (
	"errors"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/netx"
)

// errDead is the error for a conn whose peer has not answered a PING.
var errDead = errors.New("the peer is not responding")

// closingMax is how long a closing conn waits for a peer that accepts none of the
// remaining bytes.
const closingMax = time.Minute

// tick checks the conn once a second.
func (c *Conn) tick() {
	c.mu.Lock()
	if c.end.state == dead {
		c.mu.Unlock()
		return
	}
	k := &c.keepalive
	now := c.Age()
	slept := k.SleptLocked()

	var ended []*Session
	if c.peer.kind == peerUnknown && now >= helloMax {
		ended = c.setBasicLocked()
	}
	basic := c.peer.kind == peerBasic
	ping, died := k.CheckLocked(now, slept)
	if ping {
		c.pingLocked()
	}
	slow := k.RecoveredLocked()
	unused, idle := c.unusedLocked(now)
	stuck := c.stuckLocked(now)
	mute := (unused || died) && !c.dialer && !c.peer.spoke
	c.mu.Unlock()
	for _, s := range ended {
		c.gone(s)
	}
	if basic && c.dialer {
		c.endUnanswered()
	}
	if mute {
		c.cfg.Hooks.refused(c.client, c.Remote(), errSilent)
	}
	if unused || stuck {
		c.Kill()
	}
	if idle {
		c.drain(code.Idle, "")
	}
	if died {
		c.fail(errDead)
		return
	}
	if slow {
		c.owner.Answered()
	}
	c.bar()
}

// stuckLocked reports whether the conn is closing and its peer is not accepting the
// remaining bytes, even if the peer keeps sending.
func (c *Conn) stuckLocked(now time.Duration) bool {
	if c.end.state != closing {
		return false
	}
	if p, ok := netx.Progress(c.nc); ok && p.Moved != c.end.closeSeen {
		c.end.closeSeen, c.end.closeFrom = p.Moved, now
	}
	return now-c.end.closeFrom >= closingMax
}
