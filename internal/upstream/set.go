// Package upstream chooses among a client's servers. It probes them, sends new sessions
// to the best one, and fails over when one fails.
package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/splice"
	"tunnels/remux"
)

// Choice is a way to choose the server for a new session.
type Choice string

// The ways to choose a server.
const (
	Best   Choice = "best"   // the server with the shortest round trip
	Order  Choice = "order"  // the first reachable server
	Spread Choice = "spread" // round robin
)

// ParseChoice returns the choice with the given name; "" means Best.
func ParseChoice(name string) (Choice, error) {
	switch c := cmp.Or(Choice(name), Best); c {
	case Best, Order, Spread:
		return c, nil
	}
	return "", fmt.Errorf("%q: want best, order or spread", name)
}

// Hooks are called on events. Any may be nil; none is called with a lock held.
type Hooks struct {
	Silent  func(address string, why error) // a server has stopped responding
	Answers func(address string)            // a silent server is responding again
	// Using is called when new sessions begin to use a different server; old is the
	// previous one, or empty.
	Using func(now, old Distance)
}

// Distance describes how far away a server is, in words.
type Distance struct{ Address, Text string }

var errUnknown = errors.New("not known yet")

// Set is a client's set of servers. New sessions go to a reachable server according to
// the choice; a running session stays with its server. A server that fails or stops
// responding is abandoned immediately. A single server is not probed, because there is
// no alternative. All methods are safe for concurrent use.
type Set struct {
	// Immutable after creation.
	all    []*Server
	choice Choice
	hooks  Hooks
	poke   chan struct{} // wakes watch; holds one pending wake-up
	ctx    context.Context
	cancel context.CancelFunc // stops watch
	wg     sync.WaitGroup     // watch

	mu sync.Mutex // may be held while acquiring a link's or pool's lock, never the reverse
	// Guarded by mu.
	current   *Server       // the server for new sessions while it is Up; nil before the first choice
	settled   bool          // the first choice among all servers has been made
	began     time.Time     // when start was called
	lastUse   time.Time     // when a session was last opened on any server
	changed   chan struct{} // closed and replaced when goroutines waiting for a server should recheck
	turn      uint64        // counts sessions for spread
	candidate candidate
	calls     []func() // pending hook calls, made after mu is released
}

// Server is one server of a Set.
type Server struct {
	// Immutable after creation.
	set     *Set
	Address string
	Link    Link

	// Guarded by set.mu.
	state    remux.State
	why      error              // why state is not Up
	here     context.Context    // canceled when the server is abandoned
	leave    context.CancelFunc // cancels here
	failures int                // consecutive failed probes
	next     time.Time          // time of the next probe
	turn     uint64             // value of set.turn when its last session was opened
}

// New returns a Set. newLink returns the Link to one server; the Link must call turned
// whenever the result of Health may have changed. If there is only one server, turned
// is nil.
func New(addresses []string, choice Choice, hooks Hooks, newLink func(address string, turned func()) Link) *Set {
	s := &Set{choice: choice, hooks: hooks, poke: make(chan struct{}, 1), changed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	turned := s.turned
	if len(addresses) == 1 {
		turned = nil
	}
	for _, a := range addresses {
		v := &Server{set: s, Address: a, Link: newLink(a, turned)}
		v.here, v.leave = context.WithCancel(context.Background())
		s.all = append(s.all, v)
	}
	return s
}

// All returns the servers.
func (s *Set) All() []*Server { return s.all }

// Single reports whether there is only one server.
func (s *Set) Single() bool { return len(s.all) == 1 }

// Start dials all servers and, if there are several, starts probing them.
func (s *Set) Start() {
	if s.Single() {
		if p, ok := s.all[0].Link.(interface{ Warm() }); ok {
			p.Warm()
		}
		return
	}
	now := time.Now()
	s.mu.Lock()
	s.began, s.lastUse = now, now
	for _, v := range s.all {
		v.next = now.Add(jitter(lookEvery))
		v.Link.Probe()
	}
	s.mu.Unlock()
	s.wg.Go(s.watch)
}

// Reachable reports whether at least one server may be reachable.
func (s *Set) Reachable() bool {
	if s.Single() {
		return s.all[0].Link.Reachable()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.all {
		if !v.failed() {
			return true
		}
	}
	return false
}

// State returns the server's state, and an error if it is not Up. A single server is
// not probed, so its state is unknown.
func (v *Server) State() (remux.State, error) {
	v.set.mu.Lock()
	defer v.set.mu.Unlock()
	return v.state, v.why
}

// failed reports whether new sessions should avoid the server.
func (v *Server) failed() bool { return v.state == remux.Down || v.state == remux.Silent }

// Way carries one request to a server.
type Way struct {
	splice.Stream
	Server *Server
	Left   context.Context // canceled when the server is abandoned because it failed
}

// Unreached is the error for a request that could not be sent to any server.
type Unreached struct{ error }

// Unwrap returns the reason.
func (u Unreached) Unwrap() error { return u.error }

// Open returns a Way for one request to the best server not in tried, and adds each
// server that it tries to tried. If no server is up but one may come up, it waits until
// ctx is done. The error is an Unreached.
func (s *Set) Open(ctx context.Context, tried map[*Server]bool) (*Way, error) {
	w, err := s.open(ctx, tried)
	if err != nil {
		return nil, Unreached{err}
	}
	return w, nil
}

func (s *Set) open(ctx context.Context, tried map[*Server]bool) (*Way, error) {
	if s.Single() {
		v := s.all[0]
		if tried[v] {
			return nil, errors.New("there is no other server")
		}
		tried[v] = true
		stream, err := v.Link.Open(ctx)
		return &Way{stream, v, v.here}, err
	}
	var last error
	for {
		v, here, err := s.pick(ctx, tried)
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		tried[v] = true
		while, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(here, func() { cancel(fmt.Errorf("switched away from server %s", v.Address)) })
		stream, err := v.Link.Open(while)
		stop()
		cancel(nil)
		if err == nil {
			return &Way{stream, v, here}, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
}

// pick waits for a usable server. here is canceled when the set abandons that server.
func (s *Set) pick(ctx context.Context, tried map[*Server]bool) (v *Server, here context.Context, err error) {
	for {
		s.mu.Lock()
		s.usedLocked(time.Now())
		if v = s.pickLocked(tried); v != nil {
			here = v.here
			s.unlock()
			return v, here, nil
		}
		hope := false
		for _, v := range s.all {
			hope = !tried[v] && v.Link.Probe() || hope
		}
		err, changed := s.whyLocked(), s.changed
		s.unlock()
		if !hope {
			return nil, nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// pickLocked returns the server for the next session, or nil if all servers that are up
// have been tried.
func (s *Set) pickLocked(tried map[*Server]bool) *Server {
	if s.choice == Spread {
		var least *Server
		for _, v := range s.all {
			if v.state == remux.Up && !tried[v] && (least == nil || v.turn < least.turn) {
				least = v
			}
		}
		if least != nil {
			s.turn++
			least.turn = s.turn
		}
		return least
	}
	if c := s.current; c != nil && c.state == remux.Up && !tried[c] {
		return c
	}
	return s.firstLocked(func(v *Server) bool { return !tried[v] })
}

// firstLocked returns the first server, in the order given by the choice, that is up
// and wanted.
func (s *Set) firstLocked(wanted func(*Server) bool) *Server {
	var first *Server
	var shortest time.Duration
	for _, v := range s.all {
		if v.state != remux.Up || !wanted(v) {
			continue
		}
		rtt, known := v.Link.RTT()
		if s.choice != Best && first == nil {
			return v
		}
		if first == nil || known && (shortest == 0 || rtt < shortest) {
			first, shortest = v, rtt
		}
	}
	return first
}

// whyLocked returns why no server is up.
func (s *Set) whyLocked() error {
	var all []string
	for _, v := range s.all {
		if v.why != nil && len(all) < 3 {
			all = append(all, v.Address+": "+v.why.Error())
		}
	}
	return &code.Error{Code: code.General, Text: "no server can be reached: " + strings.Join(all, "; ")}
}

// unlock releases mu and makes the pending hook calls.
func (s *Set) unlock() {
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// Shutdown waits for running sessions until ctx is done, then closes all links.
func (s *Set) Shutdown(ctx context.Context) error {
	s.stop()
	errs := make([]error, len(s.all))
	s.each(func(i int, l Link) { errs[i] = l.Shutdown(ctx) })
	return errors.Join(errs...)
}

// Close closes all sessions and links immediately.
func (s *Set) Close() {
	s.stop()
	s.each(func(_ int, l Link) { _ = l.Close() })
}

func (s *Set) stop() {
	s.cancel()
	s.wg.Wait()
}

// each calls f concurrently for all links.
func (s *Set) each(f func(i int, l Link)) {
	var wg sync.WaitGroup
	for i, v := range s.all {
		wg.Go(func() { f(i, v.Link) })
	}
	wg.Wait()
}
