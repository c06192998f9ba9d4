package remux

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// What follows is for who has several servers and chooses between their pools:
// how far each is away and, well before a conn is given up as dead, that a server
// does not answer. Nothing here ends a conn or a session.

// State is how a pool's server appears to be.
type State uint8

// The states.
const (
	Unknown State = iota // no dial has ended yet
	Up                   // it was there when it was last needed
	Silent               // it owes an answer for too long; its sessions may yet go on
	Down                 // the last dial failed, or the last conn was lost
)

// String is the state in a word.
func (s State) String() string { return [...]string{"unknown", "up", "silent", "down"}[s] }

const (
	// askAfter is how long bytes of ours may be unanswered before Look asks for
	// a sign of life on up to askConns conns.
	askAfter = time.Second
	askConns = 4
	// silentAfter is how long a question may be open: that, or three round trips.
	silentAfter = 2 * time.Second
	// silentDial is how long a dial may take where there is no conn.
	silentDial = 3 * time.Second
)

// Round trips younger than rttFresh are equally good; rttKept are kept.
const (
	rttFresh = 5 * time.Second
	rttKept  = 8
)

// errNotYet is returned by Health beside Unknown.
var errNotYet = errors.New("no dial has ended yet")

// poolHealth is what a pool keeps for it.
type poolHealth struct {
	rtts rttSamples

	// Guarded by Pool.mu.
	made     bool      // there has been a conn
	lost     error     // how the last conn on which the server spoke was lost; nil: it has spoken since
	dialFrom time.Time // when the oldest dial under way began
}

// rttSamples are the last round trips. Its lock is a leaf: it may be taken while
// any other is held.
type rttSamples struct {
	mu   sync.Mutex
	took [rttKept]time.Duration // guarded by mu
	at   [rttKept]time.Time     // guarded by mu
	n    int                    // guarded by mu; how many there ever were
}

func (r *rttSamples) note(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.n % rttKept
	r.took[i], r.at[i] = took, time.Now()
	r.n++
}

// best is the shortest of the fresh ones, as longer ones have queued, or else
// the last one.
func (r *rttSamples) best() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return 0, false
	}
	best := r.took[(r.n-1)%rttKept]
	for i := range min(r.n, rttKept) {
		if time.Since(r.at[i]) < rttFresh {
			best = min(best, r.took[i])
		}
	}
	return best, true
}

// RTT is the round trip to the server: the shortest that was measured in the
// last 5 s, or else the last one. False: none has been.
func (p *Pool) RTT() (time.Duration, bool) { return p.health.rtts.best() }

// Look says how the server appears to be and, where it is not Up, why. Where
// bytes have been unanswered for a second it asks for a sign of life; called a few
// times a second while sessions wait, it finds a server that has stopped Silent
// within 4 s.
func (p *Pool) Health() (State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.healthLocked()
}

func (p *Pool) healthLocked() (State, error) {
	heard := p.heardLocked()
	if p.dueLocked(heard) {
		asked := 0
		for i := len(p.conns) - 1; i >= 0 && asked < askConns; i-- {
			if p.conns[i].ask(heard) {
				asked++
			}
		}
	}
	now := time.Now()
	var silent time.Duration
	spoken := false
	for _, c := range p.conns {
		if at := c.askedAt(); !at.IsZero() && !at.Before(heard) {
			silent = max(silent, now.Sub(c.stillSince(at)))
		}
		spoken = spoken || c.keepalive.heard()
	}
	rtt, _ := p.RTT()
	dialing := now.Sub(p.health.dialFrom)
	switch {
	case silent >= max(silentAfter, 3*rtt):
		return Silent, fmt.Errorf("no answer for %s", silent.Round(100*time.Millisecond))
	case spoken:
		return Up, nil
	case p.lastErr != nil:
		return Down, p.lastErr
	case p.health.lost != nil:
		return Down, p.health.lost
	case len(p.conns) == 0 && p.dialing > 0 && dialing > silentDial:
		return Silent, fmt.Errorf("no conn after %s", dialing.Round(100*time.Millisecond))
	case !p.health.made:
		return Unknown, errNotYet
	}
	return Up, nil
}

// heardLocked is when the server was last heard of on any conn; zero: never.
func (p *Pool) heardLocked() (heard time.Time) {
	for _, c := range p.conns {
		received := c.keepalive.received.Load()
		if at := c.born.Add(time.Duration(received)); received != 0 && at.After(heard) {
			heard = at
		}
	}
	return heard
}

// dueLocked: bytes of ours wait for an answer and no question was asked about
// it since the server was last heard of.
func (p *Pool) dueLocked(heard time.Time) bool {
	for _, c := range p.conns {
		since := c.keepalive.unanswered.Load()
		if since == 0 || c.age()-time.Duration(since) < askAfter {
			continue
		}
		if at := c.askedAt(); at.IsZero() || at.Before(heard) {
			return true
		}
	}
	return false
}

// Probe looks after the server while nobody uses it: it asks for the round trip
// on a conn, or dials where there is none that is any good. It returns at once;
// false: nothing was begun, as a dial failed less than a second ago.
func (p *Pool) Probe() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	state, _ := p.healthLocked()
	asked, heard := false, p.heardLocked()
	for i := len(p.conns) - 1; i >= 0 && !asked; i-- {
		asked = p.conns[i].ask(heard)
	}
	fresh := p.lastErr != nil && time.Since(p.failedAt) < freshFailure
	if p.dialing == 0 && !fresh && (!asked || state != Up) {
		p.dialLocked()
	}
	return p.dialing > 0 || asked && state != Down
}

// lostLocked notes how a conn ended. Where no other is left on which the server has
// spoken, it may be gone: connections on which it has not may be its kernel's doing.
func (p *Pool) lostLocked(err error) {
	if err == nil {
		return
	}
	for _, c := range p.conns {
		if c.keepalive.heard() {
			return
		}
	}
	p.health.lost = err
}

// stillSince returns since when nothing has moved towards the question of that time.
func (c *Conn) stillSince(asked time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.keepalive.question
	if q.openLocked(c) {
		q.progressLocked(c, c.age())
		if at := c.born.Add(q.movedAt); at.After(asked) {
			return at
		}
	}
	return asked
}

// ask asks for an answer as keepalive.askLocked does. It reports whether one is owed.
func (c *Conn) ask(heard time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (c.end.state == open || c.end.state == draining) && c.keepalive.askLocked(c, heard)
}
