package remux

import (
	"errors"
	"fmt"
	"time"

	"tunnels/remux/internal/timing"
)

// Server health, used to choose between the pools of several servers: how far away each
// is and, well before a conn is considered dead, whether a server has stopped answering.
// Nothing here ends a conn or a session.

// State describes the health of a pool's server.
type State uint8

// The possible states.
const (
	Unknown State = iota // no dial has completed yet
	Up                   // the last dial or conn succeeded
	Silent               // a response is overdue; sessions may still recover
	Down                 // the last dial failed, or the last conn was lost
)

// String returns the state as a word.
func (s State) String() string { return [...]string{"unknown", "up", "silent", "down"}[s] }

const (
	// askAfter is how long our bytes may go unanswered before Health sends a PING on up
	// to askConns conns.
	askAfter = time.Second
	askConns = 4
	// silentAfter, or three round trips if that is longer, is how long a response may
	// take before the server counts as silent.
	silentAfter = 2 * time.Second
	// silentDial is how long a dial may take before the server counts as silent, if there
	// is no conn.
	silentDial = 3 * time.Second
)

// errNotYet is returned by Health with Unknown.
var errNotYet = errors.New("no dial has completed yet")

// poolHealth is the state that Health needs in addition to that of the conns.
type poolHealth struct {
	rtts timing.RTTs

	// Guarded by Pool.mu.
	made     bool      // a conn has been opened
	lost     error     // why the last conn on which the server sent anything was lost, or nil if it has sent something since
	dialFrom time.Time // start of the oldest dial in progress
}

// RTT returns the round-trip time to the server: the shortest measured in the last 5 s,
// or else the most recent. It returns false if none has been measured.
func (p *Pool) RTT() (time.Duration, bool) { return p.health.rtts.Best() }

// Health returns the apparent state of the server and, if that is not Up, the reason. If
// bytes have been unanswered for a second, Health sends a PING. If it is called a few
// times a second while sessions are waiting, it reports a stopped server as Silent within
// 4 s.
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
		return Silent, fmt.Errorf("no response for %s", silent.Round(100*time.Millisecond))
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

// heardLocked returns when the server was last heard from on any conn, or the zero time
// if never.
func (p *Pool) heardLocked() (heard time.Time) {
	for _, c := range p.conns {
		if at := c.LastHeard(); at.After(heard) {
			heard = at
		}
	}
	return heard
}

// dueLocked reports whether our bytes have gone unanswered for too long and no PING has
// been sent since the server was last heard from.
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
// dials if no conn is usable. It does not block, and returns false if it started nothing
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

// lostLocked records how a conn ended. The server may be down unless it has sent
// something on one of the remaining conns: its kernel alone may have accepted a
// connection that has received nothing.
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
