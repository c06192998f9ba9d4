// Package upstream chooses between the servers that a client has: it watches them, sends
// new sessions to the best one, and leaves one that fails.
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

// Choice is how the server for a new session is chosen.
type Choice string

// The choices.
const (
	Best   Choice = "best"   // the shortest round trip
	Order  Choice = "order"  // the first that can be reached
	Spread Choice = "spread" // all in turn
)

// ParseChoice returns the choice of that name; "" is Best.
func ParseChoice(name string) (Choice, error) {
	switch c := cmp.Or(Choice(name), Best); c {
	case Best, Order, Spread:
		return c, nil
	}
	return "", fmt.Errorf("%q: want best, order or spread", name)
}

// Hooks are told what happens. Any may be nil; none is called with a lock held.
type Hooks struct {
	Silent  func(address string, why error) // a server has stopped answering
	Answers func(address string)            // it answers again
	// Using tells which server gets the new sessions, and how far it is; old is the one
	// that got them before, or empty.
	Using func(now, old Distance)
}

// Distance is how far away a server is, in words.
type Distance struct{ Address, Text string }

var errUnknown = errors.New("not known yet")

// Set is the servers that a client may use. New sessions go to one that can be
// reached, by the choice; a running session stays where it is. A server that
// fails, or has stopped to answer, is left at once. With one server there is
// nothing to choose and nobody watches it. All methods are safe for concurrent use.
type Set struct {
	// Set once, never changed.
	all    []*Server
	choice Choice
	hooks  Hooks
	poke   chan struct{} // has watch look again; one is enough
	ctx    context.Context
	cancel context.CancelFunc // ends watch
	wg     sync.WaitGroup     // watch

	mu sync.Mutex // may be held when a link's or pool's lock is taken, never the other way round
	// Guarded by mu.
	current   *Server       // gets the new sessions while it is Up, or nil before the first choice
	settled   bool          // the first choice among all was made
	began     time.Time     // when start was called
	lastUse   time.Time     // of any
	changed   chan struct{} // closed, and made anew, when who waits for a server should look again
	turn      uint64        // counts what was spread
	candidate candidate
	said      []func() // calls of hooks, made when mu is released
}

// Server is one of them.
type Server struct {
	// Set once, never changed.
	set     *Set
	Address string
	Link    Link

	// Guarded by servers.mu.
	state    remux.State
	why      error              // it is not Up
	here     context.Context    // ends when the server is left
	leave    context.CancelFunc // ends here
	failures int                // looks in vain, in a row
	next     time.Time          // when to look after it
	turn     uint64             // when it was given its last session
}

// New makes the set; newLink makes the way to one server, which calls turned whenever
// Health may return something else than before. With one server turned is nil.
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

// Single reports whether there is nothing to choose.
func (s *Set) Single() bool { return len(s.all) == 1 }

// Start dials all servers, and has them watched if there are several.
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

// Reachable reports whether any of them may be.
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

// State says how the server appears to be, and why it is not Up; with one server,
// which nobody watches, it is unknown.
func (v *Server) State() (remux.State, error) {
	v.set.mu.Lock()
	defer v.set.mu.Unlock()
	return v.state, v.why
}

// failed reports whether new sessions should not go there.
func (v *Server) failed() bool { return v.state == remux.Down || v.state == remux.Silent }

// Way carries one request to a server.
type Way struct {
	splice.Stream
	Server *Server
	Left   context.Context // ends when the server is left because it has failed
}

// Unreached is the error of a request for which there was no server.
type Unreached struct{ error }

// Unwrap returns why.
func (u Unreached) Unwrap() error { return u.error }

// Open returns a way for one request to the best server that is not in tried, and adds
// to tried every server that it has asked. It waits, until ctx ends, only where no
// server is up and one may come. The error is Unreached.
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
		far, err := v.Link.Open(ctx)
		return &Way{far, v, v.here}, err
	}
	var last error
	for {
		v, here, err := s.pick(ctx, tried)
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		tried[v] = true
		while, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(here, func() { cancel(fmt.Errorf("server %s was left", v.Address)) })
		far, err := v.Link.Open(while)
		stop()
		cancel(nil)
		if err == nil {
			return &Way{far, v, here}, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
}

// pick chooses a server, waiting until there is one. here ends when it is left.
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

// pickLocked is the server for one more session; nil: none is up that was not tried.
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

// firstLocked is the first by the choice of those that are up and wanted.
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

// whyLocked is why no server is up.
func (s *Set) whyLocked() error {
	var all []string
	for _, v := range s.all {
		if v.why != nil && len(all) < 3 {
			all = append(all, v.Address+": "+v.why.Error())
		}
	}
	return &code.Error{Code: code.General, Text: "no server can be reached: " + strings.Join(all, "; ")}
}

// unlock releases mu and makes the calls that wait.
func (s *Set) unlock() {
	said := s.said
	s.said = nil
	s.mu.Unlock()
	for _, tell := range said {
		tell()
	}
}

// Shutdown waits for what runs until ctx ends, and closes all.
func (s *Set) Shutdown(ctx context.Context) error {
	s.stop()
	errs := make([]error, len(s.all))
	s.each(func(i int, l Link) { errs[i] = l.Shutdown(ctx) })
	return errors.Join(errs...)
}

// Close ends everything at once.
func (s *Set) Close() {
	s.stop()
	s.each(func(_ int, l Link) { _ = l.Close() })
}

func (s *Set) stop() {
	s.cancel()
	s.wg.Wait()
}

// each calls f for all links at the same time.
func (s *Set) each(f func(i int, l Link)) {
	var wg sync.WaitGroup
	for i, v := range s.all {
		wg.Go(func() { f(i, v.Link) })
	}
	wg.Wait()
}
