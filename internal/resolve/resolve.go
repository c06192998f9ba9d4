// Package resolve finds the addresses of names.
//
// It queries the upstreams of a list (see [Parse]) and caches their answers for their
// TTL, including negative answers (RFC 2308) and, briefly, failures of all upstreams
// (RFC 9520). Concurrent requests for a name share one query for its IPv4 addresses and
// one for its IPv6 addresses.
//
// Upstreams' answers are untrusted input, and so are requested names. Records unrelated
// to the question are dropped, invalid host names are never queried, and memory, time,
// sockets and goroutines are bounded.
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
	// maxAnswers limits the number of cached answers, one per family of a name.
	maxAnswers = 16384
	// maxAddrs limits the addresses kept per family of a name; no client tries more.
	maxAddrs = 16
	// maxAsking limits concurrent queries, which may use a few sockets each. Other
	// queries wait their turn.
	maxAsking = 1024
	// resolutionDelay is how long to wait for IPv6 addresses once the IPv4 ones have
	// arrived (RFC 8305 section 3).
	resolutionDelay = 50 * time.Millisecond
	// fallbackDelay is how long to wait for IPv4 addresses once the IPv6 ones have
	// arrived.
	fallbackDelay = 2 * time.Second
)

// Resolver resolves names. It is safe for concurrent use.
type Resolver struct {
	// Set once, never changed.
	servers  []*server
	patience []time.Duration // per upstream, for each round
	answers  *recent.Map[question, answer]
	turns    *turns // limits concurrent queries
	ctx      context.Context
	cancel   context.CancelFunc // cancels all flights
	work     sync.WaitGroup     // running flights

	mu      sync.Mutex
	flights map[question]*flight // guarded by mu; those without an answer yet
	closed  bool                 // guarded by mu
}

// question is a lower-case name and one address family.
type question struct {
	name string
	v6   bool
}

// answer is the result for a question. It is immutable.
type answer struct {
	addrs  []netip.Addr
	ttl    time.Duration // how long it is valid
	why    *code.Error   // why there are no addrs, or nil if there are some
	failed bool          // no upstream could answer, so the name may still have addresses
}

// Config configures a Resolver.
type Config struct {
	Upstreams []Upstream // tried in this order; if empty, the system's resolver is used
	Name      string     // the setting's name in messages; may be empty
}

// New returns a resolver configured by c. The caller must Close it.
func New(c Config) *Resolver {
	if len(c.Upstreams) == 0 {
		c.Upstreams = []Upstream{{scheme: System}}
	}
	servers := make([]upstream, len(c.Upstreams))
	for i, u := range c.Upstreams {
		servers[i] = u.open(c.Name)
	}
	return newResolver(servers)
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

// Close cancels running queries and waits for them to end. A closed resolver still
// answers from its cache.
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

// Lookup returns the addresses of host, IPv6 first except for localhost; an IP address
// is returned unchanged. Once the limit on queries is reached, clients take turns;
// client is any key that identifies the requester. Canceling ctx does not affect other
// waiters. If err is nil there is at least one address; the caller owns the slice.
//
// The error is a *code.Error: HostUnreachable if the name does not exist, has no
// address or upstreams failed, Timeout if no upstream answered or ctx expired,
// Cancelled if ctx was canceled.
func (r *Resolver) Lookup(ctx context.Context, client, host string) ([]netip.Addr, error) {
	if addrs, err := literal(host); addrs != nil || err != nil {
		return addrs, err
	}
	name := strings.ToLower(host)
	q4, q6 := question{name, false}, question{name, true}
	f4, f6 := r.join(client, q4), r.join(client, q6)
	has4, has6, err := wait(ctx, f4, f6)
	if has4 || err != nil { // otherwise let the query continue for the next request
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
	if a6.failed && !a4.failed { // a failure may hide an address
		return nil, a6.why
	}
	return nil, a4.why
}

// wait waits until both flights have landed, or one has addresses and the other is not
// worth waiting for. The wait for IPv6 is short, because many servers do not answer
// AAAA queries. The wait for IPv4, the only fallback, is long but bounded.
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
