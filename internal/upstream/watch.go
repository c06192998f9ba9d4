package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tunnels/remux"
)

// The times of watching.
const (
	// watchEvery is how often all servers are looked at while sessions are opened,
	// and for watchFor after: that is how a silent one is found out.
	watchEvery = 250 * time.Millisecond
	watchFor   = 15 * time.Second

	// lookEvery is how often each server is probed, give or take a quarter, and
	// lookRarely where no session was opened for usedMax.
	lookEvery  = 30 * time.Second
	lookRarely = 5 * time.Minute
	usedMax    = 5 * time.Minute

	// A server that failed is probed after retryMin, doubled each time up to
	// lookEvery.
	retryMin = time.Second

	// The first choice stands after settleMin, when each has been measured more than
	// once, as the first time is with a handshake; or after settleMax.
	settleMin = time.Second
	settleMax = 5 * time.Second
)

// What it takes for a server to be preferred to one that works: a round trip
// shorter by a fifth and by closerMin, in roundsWon measurements of both, roundEvery
// apart.
const (
	closerMin  = 5 * time.Millisecond
	roundsWon  = 3
	roundEvery = 2 * time.Second
)

// candidate is a server that may be better than the current one.
type candidate struct {
	server *Server // nil: there is none
	won    int     // rounds
	next   time.Time
}

// turned looks again because of what happened at a server.
func (s *Set) turned() {
	s.mu.Lock()
	s.updateLocked(time.Now())
	s.changedLocked()
	s.unlock()
	s.wake()
}

// wake has watch look again.
func (s *Set) wake() {
	select {
	case s.poke <- struct{}{}:
	default: // it has been told already
	}
}

func (s *Set) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// usedLocked notes that a session is to be opened. What is known of the servers is
// old if that is the first for long.
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

// watch looks after the servers until stop.
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

// tick does what is due, and says when the next tick is.
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

// pauseLocked is until when v is left alone after it was looked after.
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

// jitter is d give or take a quarter: a thousand clients must not come at the same
// moment.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// updateLocked looks at all servers and chooses the current one; true: one is in
// another state than before.
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

// movedLocked notes the new state of v.
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
		v.next = now // its round trip is not known, or may be another one
	}
	switch {
	case state == remux.Silent:
		if tell, why := s.hooks.Silent, v.why; tell != nil {
			s.said = append(s.said, func() { tell(v.Address, why) })
		}
	case was == remux.Silent && !has:
		if tell := s.hooks.Answers; tell != nil {
			s.said = append(s.said, func() { tell(v.Address) })
		}
	}
}

// chooseLocked makes the best server the current one if there is a reason to
// change.
func (s *Set) chooseLocked(now time.Time) {
	settling := !s.settled
	if settling {
		age := now.Sub(s.began)
		s.settled = age >= settleMin && s.knownLocked() || age > settleMax
	}
	c := s.current
	want := s.firstLocked(func(*Server) bool { return true })
	if s.choice == Best && !settling && c != nil && c.state == remux.Up {
		want = c // that takes rounds
	}
	if want == nil {
		want = c
	}
	if want != c {
		s.useLocked(want, settling)
	} else if settling && s.settled && c != nil {
		s.sayUsingLocked(nil)
	}
}

// knownLocked: of all servers it is known whether they can be reached, and how
// far those are that can.
func (s *Set) knownLocked() bool {
	for _, v := range s.all {
		_, measured := v.Link.RTT()
		if v.state == remux.Unknown || v.state == remux.Up && !measured {
			return false
		}
	}
	return true
}

// useLocked makes v the current server. Nothing is said before it was compared
// with all the others.
func (s *Set) useLocked(v *Server, settling bool) {
	old := s.current
	s.current, s.candidate = v, candidate{}
	if settling {
		old = nil
	}
	if s.settled {
		s.sayUsingLocked(old)
	}
}

func (s *Set) sayUsingLocked(old *Server) {
	tell := s.hooks.Using
	if s.choice == Spread || tell == nil {
		return
	}
	now, was := s.current.distance(), Distance{}
	if old != nil {
		was = old.distance()
	}
	s.said = append(s.said, func() { tell(now, was) })
}

// distance is how far v is, in words.
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
	// Both at the same time: what slows our own line slows both.
	s.candidate.next = now.Add(roundEvery)
	c.Link.Probe()
	other.Link.Probe()
}

// closer: v is so much closer than c that it should be used instead.
func (v *Server) closer(c *Server) bool {
	mine, known := v.Link.RTT()
	theirs, both := c.Link.RTT()
	return known && both && mine < theirs*4/5 && theirs-mine > closerMin
}
