package remux

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tunnels/remux/internal/conn"
)

// dialTimeout bounds one attempt to make a conn.
const dialTimeout = 10 * time.Second

// dialTimeoutError is returned for a dial that took longer than dialTimeout. It is a
// timeout as those of package net are.
type dialTimeoutError struct{}

func (dialTimeoutError) Error() string   { return fmt.Sprintf("no answer within %s", dialTimeout) }
func (dialTimeoutError) Timeout() bool   { return true }
func (dialTimeoutError) Temporary() bool { return true }

// dialsMax is how many dials are under way at one time, when more calls wait than one
// conn will take.
const dialsMax = 4

// dialLocked makes a conn in the background. The first one under way renews the
// allowance of the others; a dial for more waiting calls does not, or none of them
// would wait.
func (p *Pool) dialLocked() {
	if p.closed || len(p.conns)+p.dialing >= p.cfg.ConnMax {
		return
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	now := time.Now()
	if _, coming := p.comingLocked(now); !coming {
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

// watchLocked has the waiting calls served when the dial under way becomes slow, or
// when nothing has come on a new conn for as long: worn conns may take them then.
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

// moreDialsLocked dials for waiting calls that will find no room on the conns under
// way.
func (p *Pool) moreDialsLocked() {
	now := time.Now()
	for p.dialing < dialsMax && !p.failedLatelyLocked(now) && len(p.conns)+p.dialing < p.cfg.ConnMax {
		if room, _ := p.comingLocked(now); p.waiters.Len() <= room {
			return
		}
		p.dialLocked()
	}
}

// dial makes a conn and serves it until it ends.
func (p *Pool) dial() {
	ctx, cancel := context.WithTimeoutCause(p.ctx, dialTimeout, dialTimeoutError{})
	start := time.Now()
	nc, err := p.cfg.Dial(ctx, p.network, p.address)
	if cause := context.Cause(ctx); err != nil && cause != nil && ctx.Err() == context.DeadlineExceeded {
		err = cause
	}
	cancel()
	if p.ctx.Err() == nil { // else the pool was closed meanwhile
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

// failedLocked notes a failed dial, and has the next one made without a request while
// the pool is in use.
func (p *Pool) failedLocked(err error) {
	p.lastErr, p.failedAt = err, time.Now()
	p.failures++
	p.retryLocked()
}

// retryLocked dials after a while, if the pool is in use and has no conn then that is
// not worn.
func (p *Pool) retryLocked() {
	if p.closed || p.dialing > 0 || time.Since(p.lastUse) > keepTrying {
		return
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	// Full jitter: a thousand clients must not come back at the same moment.
	wait := retryMin/2 + rand.N(p.backoffMax())
	p.retry = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.dialing == 0 && !p.successorLocked(nil, time.Now()) {
			p.dialLocked()
		}
	})
}

// backoffMax returns how long the next dial may wait after so many failures.
func (p *Pool) backoffMax() time.Duration {
	return min(retryMin<<min(p.failures, 10), retryMax)
}
