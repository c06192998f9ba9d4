package tunnel

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
	"tunnels/sla"
)

// The values of Config.ServerPolicy.
const (
	policyBest   = "best"   // the shortest round trip
	policyOrder  = "order"  // the first that can be reached
	policySpread = "spread" // all in turn
)

var errUnknown = errors.New("not known yet")

// servers are those that a client may use. New sessions go to one that can be
// reached, by the policy; a running session stays where it is. A server that
// fails, or has stopped to answer, is left at once. With one server there is
// nothing to choose and nobody watches it. All methods are safe for concurrent use.
type servers struct {
	// Static after construction.
	all    []*server
	policy string
	log    *sla.Logger
	poke   chan struct{} // has watch look again; one is enough
	ctx    context.Context
	cancel context.CancelFunc // ends watch
	wg     sync.WaitGroup     // watch

	mu sync.Mutex // may be held when a link's or pool's lock is taken, never the other way round
	// Guarded by mu.
	current *server       // gets the new sessions, while it is Up; nil: nobody has yet
	settled bool          // the first choice among all was made
	began   time.Time     // when start was called
	lastUse time.Time     // of any
	changed chan struct{} // closed, and made anew, when who waits for a server should look again
	turn    uint64        // counts what was spread
	rival   rival
	said    []line // lines for the log, written when mu is released
}

// server is one of them.
type server struct {
	// Static.
	address string
	link    link

	// Guarded by servers.mu.
	state    remux.State
	why      error              // it is not Up
	here     context.Context    // ends when the server is left
	leave    context.CancelFunc // ends here
	failures int                // looks in vain, in a row
	next     time.Time          // when to look after it
	turn     uint64             // when it was given its last session
}

// line is a line for the log.
type line struct {
	say  func(format string, a ...any)
	text string
}

// newServers makes the set; newLink makes the way to one server, which calls turned
// whenever look may say something else than before. With one server turned is nil.
func newServers(addresses []string, policy string, log *sla.Logger, newLink func(address string, turned func()) link) (*servers, error) {
	s := &servers{policy: cmp.Or(policy, policyBest), log: log, poke: make(chan struct{}, 1), changed: make(chan struct{})}
	switch s.policy {
	case policyBest, policyOrder, policySpread:
	default:
		return nil, fmt.Errorf("-server.policy %q: want best, order or spread", policy)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	turned := s.turned
	if len(addresses) == 1 {
		turned = nil
	}
	for _, a := range addresses {
		v := &server{address: a, link: newLink(a, turned)}
		v.here, v.leave = context.WithCancel(context.Background())
		s.all = append(s.all, v)
	}
	return s, nil
}

// single: there is nothing to choose.
func (s *servers) single() bool { return len(s.all) == 1 }

// start dials all servers, and has them watched if there are several.
func (s *servers) start() {
	if s.single() {
		if p, ok := s.all[0].link.(pooled); ok {
			p.Warm()
		}
		return
	}
	now := time.Now()
	s.mu.Lock()
	s.began, s.lastUse = now, now
	for _, v := range s.all {
		v.next = now.Add(jitter(lookEvery))
		v.link.probe()
	}
	s.mu.Unlock()
	s.wg.Go(s.watch)
}

// reachable: any of them may be.
func (s *servers) reachable() bool {
	if s.single() {
		return s.all[0].link.reachable()
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

// failed: new sessions should not go there.
func (v *server) failed() bool { return v.state == remux.Down || v.state == remux.Silent }

// open makes what carries one request, by the best server that is not in tried,
// and adds to tried every server that it has asked. here ends when the server is
// left because it has failed. It waits, until ctx ends, only where no server is up
// and one may come.
func (s *servers) open(ctx context.Context, tried map[*server]bool) (far splice.Stream, here context.Context, err error) {
	if s.single() {
		v := s.all[0]
		if tried[v] {
			return nil, nil, errors.New("there is no other server")
		}
		tried[v] = true
		far, err = v.link.open(ctx)
		return far, v.here, err
	}
	var last error
	for {
		v, here, err := s.pick(ctx, tried)
		if err != nil {
			return nil, nil, cmp.Or(last, err)
		}
		tried[v] = true
		while, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(here, func() { cancel(fmt.Errorf("server %s was left", v.address)) })
		far, err := v.link.open(while)
		stop()
		cancel(nil)
		if err == nil {
			return far, here, nil
		}
		if ctx.Err() != nil {
			return nil, nil, err
		}
		last = err
	}
}

// pick chooses a server, waiting until there is one. here ends when it is left.
func (s *servers) pick(ctx context.Context, tried map[*server]bool) (v *server, here context.Context, err error) {
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
			hope = !tried[v] && v.link.probe() || hope
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
func (s *servers) pickLocked(tried map[*server]bool) *server {
	if s.policy == policySpread {
		var least *server
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
	return s.firstLocked(func(v *server) bool { return !tried[v] })
}

// firstLocked is the first by the policy of those that are up and wanted.
func (s *servers) firstLocked(wanted func(*server) bool) *server {
	var first *server
	var shortest time.Duration
	for _, v := range s.all {
		if v.state != remux.Up || !wanted(v) {
			continue
		}
		rtt, known := v.link.rtt()
		if s.policy != policyBest && first == nil {
			return v
		}
		if first == nil || known && (shortest == 0 || rtt < shortest) {
			first, shortest = v, rtt
		}
	}
	return first
}

// whyLocked is why no server is up.
func (s *servers) whyLocked() error {
	var all []string
	for _, v := range s.all {
		if v.why != nil && len(all) < 3 {
			all = append(all, v.address+": "+v.why.Error())
		}
	}
	return &code.Error{Code: code.General, Text: "no server can be reached: " + strings.Join(all, "; ")}
}

// unlock releases mu and writes the lines that wait.
func (s *servers) unlock() {
	said := s.said
	s.said = nil
	s.mu.Unlock()
	for _, l := range said {
		l.say("%s", l.text)
	}
}

// shutdown waits for what runs until ctx ends, and closes all.
func (s *servers) shutdown(ctx context.Context) error {
	s.stop()
	errs := make([]error, len(s.all))
	s.each(func(i int, l link) { errs[i] = l.shutdown(ctx) })
	return errors.Join(errs...)
}

// close ends everything at once.
func (s *servers) close() {
	s.stop()
	s.each(func(_ int, l link) { l.close() })
}

func (s *servers) stop() {
	s.cancel()
	s.wg.Wait()
}

// each calls f for all links at the same time.
func (s *servers) each(f func(i int, l link)) {
	var wg sync.WaitGroup
	for i, v := range s.all {
		wg.Go(func() { f(i, v.link) })
	}
	wg.Wait()
}
