// Package resolve finds the addresses of names.
//
// It asks the upstreams of a list, [Parse] says which, and remembers what they
// said for as long as they said: also that a name does not exist (RFC 2308) and,
// for a moment, that none of them answered (RFC 9520). However many ask for one
// name at one time, upstreams are asked once for its IPv4 and once for its IPv6
// addresses.
//
// An upstream's answers are bytes from outside, and so is the name that is asked
// for. What does not belong to the question is dropped, what is no host name is
// never asked for, and memory, time, sockets and goroutines are bounded.
package resolve

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/recent"
)

const (
	// maxAnswers is how many answers are kept, one for each family of a name.
	maxAnswers = 16384
	// maxAddrs is how many addresses of one family of a name are kept: nobody
	// tries more.
	maxAddrs = 16
	// maxAsking is how many questions are on their way at one time; each may
	// take a few sockets. The others wait for their turn.
	maxAsking = 1024
	// resolutionDelay is how long IPv6 addresses are waited for once those of
	// IPv4 are there (RFC 8305 section 3).
	resolutionDelay = 50 * time.Millisecond
	// fallbackDelay is how long those of IPv4 are waited for once those of IPv6
	// are there.
	fallbackDelay = 2 * time.Second
)

// Resolver resolves names. Any number of goroutines may use it.
type Resolver struct {
	// Set once, never changed.
	servers  []*server
	patience []time.Duration // for an upstream to answer, round by round
	answers  *recent.Map[question, answer]
	turns    *turns // of the questions on their way
	ctx      context.Context
	cancel   context.CancelFunc // ends flights
	work     sync.WaitGroup     // flights

	mu      sync.Mutex
	flights map[question]*flight // guarded by mu; not landed yet
	closed  bool                 // guarded by mu
}

// question is what is asked for: one family of a name, which is in lower case.
type question struct {
	name string
	v6   bool
}

// answer is what is known of a question. It is never changed.
type answer struct {
	addrs  []netip.Addr
	ttl    time.Duration // for how long it is true
	why    *code.Error   // why there are no addrs; nil if there are
	failed bool          // why is not that there are none, but that nobody could say
}

// New makes a resolver of the upstreams of list, which is as [Parse] reads it.
// Close is to follow.
func New(list string) (*Resolver, error) {
	ups, err := Parse(list)
	if err != nil {
		return nil, err
	}
	servers := make([]upstream, len(ups))
	for i, u := range ups {
		servers[i] = u.open()
	}
	return newResolver(servers), nil
}

func newResolver(ups []upstream) *Resolver {
	r := &Resolver{
		patience: []time.Duration{1500 * time.Millisecond, 3 * time.Second},
		answers:  recent.New[question, answer](maxAnswers),
		turns:    newTurns(maxAsking),
		flights:  map[question]*flight{},
	}
	for _, u := range ups {
		r.servers = append(r.servers, &server{upstream: u})
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends what is being resolved and waits for it. A closed resolver still
// knows what it remembers.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
	for _, s := range r.servers {
		s.close()
	}
}

// Lookup returns the addresses of host, those of IPv6 first but for localhost; an
// address is its own. Where more is asked for than upstreams are asked at one time,
// clients take turns; client is any name for the one that asks. Canceling ctx does
// not affect others that wait for the same name. Without an error there is at least
// one address; they are the caller's to keep and change.
//
// The error is a *code.Error: HostUnreachable if there is no such name, if it
// has no address or if upstreams cannot say, Timeout if none of them answered
// or ctx ran out, Cancelled if ctx was cancelled.
func (r *Resolver) Lookup(ctx context.Context, client, host string) ([]netip.Addr, error) {
	if addrs, err := literal(host); addrs != nil || err != nil {
		return addrs, err
	}
	name := strings.ToLower(host)
	q4, q6 := question{name, false}, question{name, true}
	f4, f6 := r.join(client, q4), r.join(client, q6)
	has4, has6, err := wait(ctx, f4, f6)
	if has4 || err != nil { // else it goes on, for who asks next
		r.leave(q4, f4)
	}
	if has6 || err != nil {
		r.leave(q6, f6)
	}
	if err != nil {
		return nil, contextError(name, err)
	}
	a4, a6 := answer{}, answer{}
	if has4 {
		a4 = f4.answer
	}
	if has6 {
		a6 = f6.answer
	}
	if addrs := append(append([]netip.Addr(nil), a6.addrs...), a4.addrs...); len(addrs) > 0 {
		return addrs, nil
	}
	if a6.failed && !a4.failed { // what nobody could say may be an address
		return nil, a6.why
	}
	return nil, a4.why
}

// wait waits until both have landed, or one with addresses and the other is not
// worth waiting for any more. For IPv6 that is soon: servers that do not answer when
// they are asked for it are common. For IPv4, without which there is nothing to fall
// back to, it is long, but not for ever.
func wait(ctx context.Context, f4, f6 *flight) (has4, has6 bool, err error) {
	var enough <-chan time.Time
	landed4, landed6 := f4.landed, f6.landed
	for !has4 || !has6 {
		select {
		case <-landed4:
			has4, landed4 = true, nil
			if len(f4.answer.addrs) > 0 {
				enough = time.After(resolutionDelay)
			}
		case <-landed6:
			has6, landed6 = true, nil
			if len(f6.answer.addrs) > 0 {
				enough = time.After(fallbackDelay)
			}
		case <-enough:
			return has4, has6, nil
		case <-ctx.Done():
			return has4, has6, ctx.Err()
		}
	}
	return has4, has6, nil
}

func contextError(name string, err error) *code.Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &code.Error{Code: code.Timeout, Text: "resolving " + name + ": timed out"}
	}
	return &code.Error{Code: code.Cancelled, Text: "resolving " + name + ": cancelled"}
}
