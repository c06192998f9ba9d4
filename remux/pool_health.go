package remux

import (
	"errors"
	"fmt"
	"time"

	"tunnels/remux/internal/timing"
)

// Server health, used to choose between the pools of several servers: how far each is
// away and, well before a conn is given up as dead, that a server does not answer.
// Nothing here ends a conn or a session.

// State describes the health of a pool's server.
type State uint8

// The states.
const (
	Unknown State = iota // no dial has ended yet
	Up                   // the last dial or conn succeeded
	Silent               // an answer is overdue; its sessions may yet go on
	Down                 // the last dial failed, or the last conn was lost
)

// String returns the state in a word.
func (s State) String() string { return [...]string{"unknown", "up", "silent", "down"}[s] }

const (
	// askAfter is how long bytes of ours may be unanswered before Health sends a PING
	// on up to askConns conns.
	askAfter = time.Second
	askConns = 4
	// silentAfter is how long an answer may take: that, or three round trips.
	silentAfter = 2 * time.Second
	// silentDial is how long a dial may take where there is no conn.
	silentDial = 3 * time.Second
)

// errNotYet is returned by Health beside Unknown.
var errNotYet = errors.New("no dial has ended yet")

// poolHealth is the state of a pool that Health needs besides that of its conns.
type poolHealth struct {
	rtts timing.RTTs

	// Guarded by Pool.mu.
	made     bool      // there has been a conn
	lost     error     // how the last conn on which the server spoke was lost, or nil if it has spoken since
	dialFrom time.Time // when the oldest dial under way began
}

// RTT returns the round trip to the server: the shortest that was measured in the last
// 5 s, or else the last one. It returns false if none was measured.
func (p *Pool) RTT() (time.Duration, bool) { return p.health.rtts.Best() }

// Health returns how the server appears to be and, if it is not Up, why. If bytes have
// been unanswered for a second, Health sends a PING; called a few times a second while
// sessions wait, it finds a server that has stopped Silent within 4 s.
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
			if p.conns[i].Ask(heard) {
				asked++
			}
		}
	}
	now := time.Now()
	var silent time.Duration
	spoken := false
	for _, c := range p.conns {
		if at := c.AskedAt(); !at.IsZero() && !at.Before(heard) {
			silent = max(silent, now.Sub(c.StillSince(at)))
		}
		spoken = spoken || c.Heard()
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

// heardLocked returns when the server was last heard of on any conn, or the zero time
// if it never was.
func (p *Pool) heardLocked() (heard time.Time) {
	for _, c := range p.conns {
		if at := c.LastHeard(); at.After(heard) {
			heard = at
		}
	}
	return heard
}

// dueLocked reports whether bytes of ours wait for an answer and no PING was sent
// about it since the server was last heard of.
func (p *Pool) dueLocked(heard time.Time) bool {
	for _, c := range p.conns {
		if c.UnansweredFor() < askAfter {
			continue
		}
		if at := c.AskedAt(); at.IsZero() || at.Before(heard) {
			return true
		}
	}
	return false
}

// Probe checks a server that is not in use: it measures the round trip on a conn, or
// dials if no conn is usable. It returns at once, and false if it began nothing
// because a dial failed less than a second ago.
func (p *Pool) Probe() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	state, _ := p.healthLocked()
	asked, heard := false, p.heardLocked()
	for i := len(p.conns) - 1; i >= 0 && !asked; i-- {
		asked = p.conns[i].Ask(heard)
	}
	fresh := p.lastErr != nil && time.Since(p.failedAt) < freshFailure
	if p.dialing == 0 && !fresh && (!asked || state != Up) {
		p.dialLocked()
	}
	return p.dialing > 0 || asked && state != Down
}

// lostLocked notes how a conn ended. If no other is left on which the server has
// spoken, the server may be gone: a connection on which nothing has come may be its
// kernel's doing.
func (p *Pool) lostLocked(err error) {
	if err == nil {
		return
	}
	for _, c := range p.conns {
		if c.Heard() {
			return
		}
	}
	p.health.lost = err
}
