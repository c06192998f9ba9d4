package remux

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
)

// slowDial is how long a dial may take before worn conns are used as if there
// were no successor.
const slowDial = time.Second

// opening is the result of a call to Open.
type opening struct {
	session *conn.Session
	err     error
}

// Open opens a session. The server learns of it from the first Write or Read. Open waits
// only while no conn can take the session, and only until ctx is done. It fails
// immediately if the last dial failed less than a second ago. Waiting calls are served in
// order.
func (p *Pool) Open(ctx context.Context) (Session, error) {
	s, err := p.open(ctx)
	if err != nil {
		return nil, err // not a nil *conn.Session
	}
	return s, nil
}

func (p *Pool) open(ctx context.Context) (*conn.Session, error) {
	o, wait, leave := p.enter()
	if wait != nil {
		select {
		case o = <-wait:
		case <-ctx.Done():
			o = leave(fmt.Errorf("waiting for a conn to %s: %w", p.address, context.Cause(ctx)))
		}
	}
	if o.err != nil {
		return nil, o.err
	}
	o.session.ReportOpened()
	return o.session, nil
}

// enter opens a session immediately if it can. Otherwise it queues the caller, which
// receives the result from wait or gives up by calling leave. leave returns the result if
// it has already been sent, or else err.
func (p *Pool) enter() (o opening, wait <-chan opening, leave func(err error) opening) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.lastUse = now
	result := make(chan opening, 1)
	e := p.waiters.PushBack(result)
	p.serveLocked(now)
	select {
	case o = <-result:
		return o, nil, nil
	default:
	}
	leave = func(err error) opening {
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case o := <-result:
			return o
		default:
			p.waiters.Remove(e)
			return opening{err: err}
		}
	}
	return o, result, leave
}

// serveLocked serves as many waiting calls of Open as possible. It must be called after
// every event that may allow another session: a dial, conn or session ended, HELLO
// arrived, a suspect conn responded, a dial became slow, or the pool was closed. This
// ensures that no call waits while a conn could take its session.
func (p *Pool) serveLocked(now time.Time) {
	for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
		s, err := p.tryOpenLocked(now)
		if s == nil && err == nil {
			p.moreDialsLocked()
			return
		}
		p.waiters.Remove(e).(chan opening) <- opening{s, err} // buffered, so this does not block
	}
}

// tryOpenLocked opens a session or returns an error. If it returns neither, the caller
// must wait for a pending conn.
func (p *Pool) tryOpenLocked(now time.Time) (*conn.Session, error) {
	if p.closed {
		return nil, net.ErrClosed
	}
	for {
		c := p.pickLocked(now)
		if c == nil {
			break
		}
		s, err := c.TryOpen()
		if err != nil {
			continue // it has just ended; pickLocked will not return it again
		}
		p.succeedLocked(c, now)
		return s, nil
	}
	if _, pending := p.pendingLocked(now); !pending {
		if p.lastErr != nil && now.Sub(p.failedAt) < freshFailure {
			return nil, &code.Error{Code: code.General, Text: fmt.Sprintf("server %s cannot be reached: %v", p.address, p.lastErr)}
		}
		p.dialLocked()
	}
	return nil, nil
}

// pendingLocked reports whether any conns are pending, that is, being dialed or waiting
// for their first frame, and how many sessions they will have room for.
func (p *Pool) pendingLocked(now time.Time) (room int, pending bool) {
	room, pending = p.dialing*2*p.cfg.ReuseMaxCount, p.dialing > 0
	for _, c := range p.conns {
		if w := c.Reuse(&p.limits, now); w.Takes && w.Unheard {
			room += max(w.OverMax-w.Uses, 0)
			pending = true
		}
	}
	return room, pending
}

// pickLocked returns the conn for a new session, or nil if none can take it. It prefers
// conns in use, then spares, then worn ones, then new ones that the server may still
// refuse; within each class it prefers the newest. A worn conn beyond its allowance is
// used only if there is nothing to wait for: neither a dial that is not yet slow nor a
// new conn whose first frame is due within a second. Otherwise it would get an entire
// burst, which a single goroutine would have to read.
func (p *Pool) pickLocked(now time.Time) *conn.Conn {
	var spare, worn, unheard, wornOut, full, least *conn.Conn // full: unheard and beyond its allowance
	leastLoad := 0
	for i := len(p.conns) - 1; i >= 0; i-- {
		c := p.conns[i]
		w := c.Reuse(&p.limits, now)
		slot := &worn
		switch {
		case !w.Takes:
			continue
		case w.Unheard && w.Uses >= w.OverMax:
			slot = &full
		case w.Unheard:
			slot = &unheard
		case !w.Over && w.Uses > 0:
			return c
		case !w.Over:
			slot = &spare
		case w.Uses >= w.OverMax:
			slot = &wornOut
		}
		if *slot == nil {
			*slot = c
		}
		if !w.Unheard && (least == nil || w.Sessions < leastLoad) {
			least, leastLoad = c, w.Sessions
		}
	}
	pending := p.dialing > 0 || unheard != nil || full != nil
	switch {
	case spare != nil:
		return spare
	case p.dialing == 0 && p.failedLatelyLocked(now), !pending && len(p.conns) >= p.cfg.ConnMax:
		return cmp.Or(least, unheard, full) // no successor to wait for: share the load
	case !pending && cmp.Or(worn, wornOut) != nil:
		p.dialLocked()
		return cmp.Or(worn, wornOut)
	case worn != nil:
		return worn
	case p.dialing > 0 && now.Sub(p.health.dialFrom) >= slowDial:
		return cmp.Or(wornOut, unheard, full)
	case wornOut == nil:
		return unheard
	}
	return nil
}
