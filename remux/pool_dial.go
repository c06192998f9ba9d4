package remux

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tunnels/remux/internal/conn"
)

// dialTimeout limits one attempt to open a conn.
const dialTimeout = 10 * time.Second

// dialTimeoutError is returned for a dial that took longer than dialTimeout. It
// implements net.Error.
type dialTimeoutError struct{}

func (dialTimeoutError) Error() string   { return fmt.Sprintf("no response within %s", dialTimeout) }
func (dialTimeoutError) Timeout() bool   { return true }
func (dialTimeoutError) Temporary() bool { return true }

// dialsMax limits concurrent dials when more calls are waiting than one conn can serve.
const dialsMax = 4

// dialLocked dials in the background. If no conn is pending, it also renews the
// allowances of the existing conns. Further dials for waiting calls do not, because each
// renewal would let all of those calls use the worn conns.
func (p *Pool) dialLocked() {
	if p.closed || len(p.conns)+p.dialing >= p.cfg.ConnMax {
		return
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	now := time.Now()
	if _, pending := p.pendingLocked(now); !pending {
		for _, c := range p.conns {
			c.Grace(&p.limits)
		}
	}
	if p.dialing++; p.dialing == 1 {
		p.health.dialFrom = now
		p.watchLocked(now)
	}
	p.wg.Go(p.dial)
}

// watchLocked arranges for waiting calls to be served when the dial in progress becomes
// slow, or when a new conn has received nothing for that long. Worn conns may then take
// them.
func (p *Pool) watchLocked(now time.Time) {
	var next time.Duration
	if left := slowDial - now.Sub(p.health.dialFrom); p.dialing > 0 && left > 0 {
		next = left
	}
	for _, c := range p.conns {
		if w := c.Reuse(&p.limits, now); w.Takes && w.Unheard {
			if left := slowDial - c.AgeAt(now); next == 0 || left < next {
				next = left
			}
		}
	}
	switch {
	case next == 0 || p.closed:
	case p.slow == nil:
		p.slow = time.AfterFunc(next, p.overdue)
	default:
		p.slow.Reset(next)
	}
}

func (p *Pool) overdue() {
	p.mu.Lock()
	now := time.Now()
	p.serveLocked(now)
	p.watchLocked(now)
	p.mu.Unlock()
}

// moreDialsLocked dials for the waiting calls that the pending conns will have no room
// for.
func (p *Pool) moreDialsLocked() {
	now := time.Now()
	for p.dialing < dialsMax && !p.failedLatelyLocked(now) && len(p.conns)+p.dialing < p.cfg.ConnMax {
		if room, _ := p.pendingLocked(now); p.waiters.Len() <= room {
			return
		}
		p.dialLocked()
	}
}

// dial opens a conn and serves it until it ends.
func (p *Pool) dial() {
	ctx, cancel := context.WithTimeoutCause(p.ctx, dialTimeout, dialTimeoutError{})
	start := time.Now()
	nc, err := p.cfg.Dial(ctx, p.network, p.address)
	if cause := context.Cause(ctx); err != nil && cause != nil && ctx.Err() == context.DeadlineExceeded {
		err = cause
	}
	cancel()
	if p.ctx.Err() == nil { // otherwise the pool has been closed
		p.cfg.Hooks.dialDone(p.address, time.Since(start), err)
	}

	var c *conn.Conn
	p.mu.Lock()
	p.dialing--
	switch {
	case err != nil:
		p.failedLocked(err)
	case !p.closed:
		c = conn.New(nc, p.connCfg, true, nil, poolOwner{p})
		c.KeepRTTs(&p.health.rtts)
		p.conns = append(p.conns, c)
		p.health.made = true
		p.rearmLocked(time.Now())
		p.watchLocked(time.Now())
	}
	p.serveLocked(time.Now())
	p.mu.Unlock()
	p.cfg.Hooks.stateChanged()
	if c != nil {
		c.Run()
	} else if err == nil {
		nc.Close()
	}
}

// failedLocked records a failed dial and, while the pool is in use, schedules the next
// one without waiting for a request.
func (p *Pool) failedLocked(err error) {
	p.lastErr, p.failedAt = err, time.Now()
	p.failures++
	p.retryLocked()
}

// retryLocked schedules a dial if the pool is in use. The dial is skipped if a conn that
// is not worn is available by then.
func (p *Pool) retryLocked() {
	if p.closed || p.dialing > 0 || time.Since(p.lastUse) > keepTrying {
		return
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	// Full jitter keeps a thousand clients from reconnecting at the same moment.
	wait := retryMin/2 + rand.N(p.backoffMax())
	p.retry = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.dialing == 0 && !p.successorLocked(nil, time.Now()) {
			p.dialLocked()
		}
	})
}

// backoffMax returns the longest delay before the next dial after p.failures failures.
func (p *Pool) backoffMax() time.Duration {
	return min(retryMin<<min(p.failures, 10), retryMax)
}
