package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tunnels/remux"
)

// Intervals for probing.
const (
	// watchEvery is how often the state of all servers is checked, to detect a silent
	// one, while sessions are being opened and for watchFor afterwards.
	watchEvery = 250 * time.Millisecond
	watchFor   = 15 * time.Second

	// lookEvery is how often each server is probed, plus or minus a quarter; lookRarely
	// replaces it once no session has been opened for usedMax.
	lookEvery  = 30 * time.Second
	lookRarely = 5 * time.Minute
	usedMax    = 5 * time.Minute

	// A failed server is probed after retryMin, then after intervals that double up to
	// lookEvery.
	retryMin = time.Second

	// The first choice is final after settleMin if every reachable server has been
	// measured, and otherwise after settleMax. settleMin allows time for a second
	// measurement, because the first one includes a handshake.
	settleMin = time.Second
	settleMax = 5 * time.Second
)

// A server replaces a working one only if, in roundsWon measurements of both taken
// roundEvery apart, its round trip is at least a fifth and at least closerMin shorter.
const (
	closerMin  = 5 * time.Millisecond
	roundsWon  = 3
	roundEvery = 2 * time.Second
)

// candidate is a server that may be better than the current one.
type candidate struct {
	server *Server // nil if there is none
	won    int     // number of rounds won
	next   time.Time
}

// turned updates the set after a server's state may have changed.
func (s *Set) turned() {
	s.mu.Lock()
	s.updateLocked(time.Now())
	s.changedLocked()
	s.unlock()
	s.wake()
}

// wake makes watch check immediately.
func (s *Set) wake() {
	select {
	case s.poke <- struct{}{}:
	default: // already woken
	}
}

func (s *Set) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// usedLocked records that a session is about to be opened. If it is the first after a
// long idle period, it makes all measurements due again.
func (s *Set) usedLocked(now time.Time) {
	idle := now.Sub(s.lastUse)
	s.lastUse = now
	if idle >= usedMax {
		for _, v := range s.all {
			v.next = now
		}
	}
	if idle >= watchFor-watchEvery {
		s.wake()
	}
}

// watch probes the servers until stop is called.
func (s *Set) watch() {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.poke:
		case <-timer.C:
		}
		timer.Reset(s.tick(time.Now()))
	}
}

// tick does the work that is due and returns the time until the next tick.
func (s *Set) tick(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.unlock()
	if s.updateLocked(now) {
		s.changedLocked()
	}
	for _, v := range s.all {
		if !now.Before(v.next) {
			v.Link.Probe()
			v.next = now.Add(s.pauseLocked(v, now))
		}
	}
	s.roundLocked(now)
	if now.Sub(s.lastUse) < watchFor || !s.settled {
		return watchEvery
	}
	next := now.Add(lookRarely)
	for _, v := range s.all {
		next = earlier(next, v.next)
	}
	if s.candidate.server != nil {
		next = earlier(next, s.candidate.next)
	}
	return max(next.Sub(now), time.Millisecond)
}

// pauseLocked returns how long to wait before probing v again.
func (s *Set) pauseLocked(v *Server, now time.Time) time.Duration {
	switch {
	case now.Sub(s.lastUse) >= usedMax:
		return jitter(lookRarely)
	case v.failed():
		v.failures++
		return jitter(min(retryMin<<min(v.failures-1, 10), lookEvery))
	}
	return jitter(lookEvery)
}

// jitter returns d plus or minus up to a quarter, so that a thousand clients do not all
// probe at the same moment.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// updateLocked updates the state of all servers, chooses the current one and reports
// whether any state changed.
func (s *Set) updateLocked(now time.Time) (turned bool) {
	for _, v := range s.all {
		var state remux.State
		if state, v.why = v.Link.Health(); state != v.state {
			s.movedLocked(v, state, now)
			turned = true
		}
	}
	s.chooseLocked(now)
	return turned
}

// movedLocked records v's new state.
func (s *Set) movedLocked(v *Server, state remux.State, now time.Time) {
	was, had := v.state, v.failed()
	v.state = state
	has := v.failed()
	switch {
	case has && !had:
		v.leave()
		v.failures = 0
		v.next = now.Add(s.pauseLocked(v, now))
	case had:
		v.here, v.leave = context.WithCancel(context.Background())
	}
	if state == remux.Up {
		v.next = now // v's round trip is unknown or may have changed
	}
	switch {
	case state == remux.Silent:
		if hook, why := s.hooks.Silent, v.why; hook != nil {
			s.calls = append(s.calls, func() { hook(v.Address, why) })
		}
	case was == remux.Silent && !has:
		if hook := s.hooks.Answers; hook != nil {
			s.calls = append(s.calls, func() { hook(v.Address) })
		}
	}
}

// chooseLocked makes the best server current if there is a reason to switch.
func (s *Set) chooseLocked(now time.Time) {
	settling := !s.settled
	if settling {
		age := now.Sub(s.began)
		s.settled = age >= settleMin && s.knownLocked() || age > settleMax
	}
	c := s.current
	want := s.firstLocked(func(*Server) bool { return true })
	if s.choice == Best && !settling && c != nil && c.state == remux.Up {
		want = c // a better server must first win several rounds
	}
	if want == nil {
		want = c
	}
	if want != c {
		s.useLocked(want, settling)
	} else if settling && s.settled && c != nil {
		s.reportUsingLocked(nil)
	}
}

// knownLocked reports whether the state of every server is known and every reachable
// one has been measured.
func (s *Set) knownLocked() bool {
	for _, v := range s.all {
		_, measured := v.Link.RTT()
		if v.state == remux.Unknown || v.state == remux.Up && !measured {
			return false
		}
	}
	return true
}

// useLocked makes v the current server. It calls no hook until all servers have been
// compared.
func (s *Set) useLocked(v *Server, settling bool) {
	old := s.current
	s.current, s.candidate = v, candidate{}
	if settling {
		old = nil
	}
	if s.settled {
		s.reportUsingLocked(old)
	}
}

func (s *Set) reportUsingLocked(old *Server) {
	hook := s.hooks.Using
	if s.choice == Spread || hook == nil {
		return
	}
	now, was := s.current.distance(), Distance{}
	if old != nil {
		was = old.distance()
	}
	s.calls = append(s.calls, func() { hook(now, was) })
}

// distance returns a description of how far away v is.
func (v *Server) distance() Distance {
	d := Distance{Address: v.Address}
	rtt, known := v.Link.RTT()
	switch {
	case v.state == remux.Down:
		d.Text = "unreachable"
	case v.state == remux.Silent:
		d.Text = "silent"
	case known:
		d.Text = fmt.Sprintf("%.3g ms", float64(rtt)/float64(time.Millisecond))
	default:
		d.Text = "not measured yet"
	}
	return d
}

// roundLocked compares the current server with the closest of the others.
func (s *Set) roundLocked(now time.Time) {
	c := s.current
	if s.choice != Best || !s.settled || c == nil || c.state != remux.Up {
		return
	}
	other := s.firstLocked(func(v *Server) bool { return v != c })
	if other == nil || !other.closer(c) {
		s.candidate = candidate{}
		return
	}
	if other != s.candidate.server {
		s.candidate = candidate{server: other}
	} else if now.Before(s.candidate.next) {
		return
	} else if s.candidate.won++; s.candidate.won == roundsWon {
		s.useLocked(other, false)
		return
	}
	// Measure both at the same time, because a slow local line slows both.
	s.candidate.next = now.Add(roundEvery)
	c.Link.Probe()
	other.Link.Probe()
}

// closer reports whether v is so much closer than c that switching is worthwhile.
func (v *Server) closer(c *Server) bool {
	mine, known := v.Link.RTT()
	theirs, both := c.Link.RTT()
	return known && both && mine < theirs*4/5 && theirs-mine > closerMin
}
