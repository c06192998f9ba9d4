// Package admission decides who may come in: it knows the clients of a server, what each
// of them may reach and use, and what he uses.
package admission

import (
	"container/list"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/meter"
	"tunnels/internal/policy"
	"tunnels/internal/rules"
	"tunnels/internal/splice"
)

const (
	openBurst = 5 // seconds' worth of opened sessions that may come at one time

	// A client without a session is remembered for idleKeep, in which its buckets
	// are full again, and only so many are.
	idleKeep = time.Minute
	idleMax  = 4096
)

// Refusal is a reason why a server refused a request.
type Refusal string

// The reasons.
const (
	RefusedTarget   Refusal = "target"          // the lists or the client's rules forbid it
	RefusedSessions Refusal = "client sessions" // the client has as many as he may
	RefusedOpens    Refusal = "client opens"    // the client opens them too fast
	RefusedTotal    Refusal = "sessions"        // all clients together have as many as they may
	RefusedConns    Refusal = "conns"           // there is no room for the client's conn, or it does not use it
)

var refusals = [...]Refusal{RefusedTarget, RefusedSessions, RefusedOpens, RefusedTotal, RefusedConns}

// Config says who may do what.
type Config struct {
	Policy  *policy.Exit // what holds for all
	Rules   *rules.File  // what holds for each client; nil: nothing
	Limits  rules.Limits // of a client of whom the rules say nothing
	SessMax rules.Limit  // sessions of all clients together

	// Refused is told of what was refused, with no lock held; client is the name in the
	// certificate, or empty. The error names the target and the rule. May be nil.
	Refused func(reason Refusal, client string, why error)
}

// Clients are those of a server. A client is the name in his certificate, with all his
// conns; those without one are one client together. The methods may be called from any
// goroutine.
type Clients struct {
	Config // static

	refused [len(refusals)]atomic.Uint64 // how many, by reason

	mu       sync.Mutex
	sessions int                // guarded by mu; of all
	byName   map[string]*client // guarded by mu; by rules.Fold of the name
	idle     list.List          // guarded by mu; of *client without a session, the longest so first
}

// New makes Clients.
func New(c Config) *Clients { return &Clients{Config: c, byName: map[string]*client{}} }

// Refuse counts a refusal and tells of it.
func (c *Clients) Refuse(reason Refusal, client string, why error) {
	for i, r := range refusals {
		if r == reason {
			c.refused[i].Add(1)
		}
	}
	if c.Refused != nil {
		c.Refused(reason, client, why)
	}
}

// Counts is how many refusals there were, by reason.
func (c *Clients) Counts() map[Refusal]uint64 {
	all := make(map[Refusal]uint64, len(refusals))
	for i, r := range refusals {
		all[r] = c.refused[i].Load()
	}
	return all
}

// Sessions is how many sessions all clients have.
func (c *Clients) Sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// client is one of them.
type client struct {
	key string // static

	// Guarded by clients.mu:
	sessions  int
	idleSince time.Time
	inIdle    *list.Element // nil: he has sessions
	rule      *rules.Rule   // that exit was made for
	exit      *policy.Exit
	opens     *meter.Bucket // nil: not limited so far
	in, out   *meter.Bucket // likewise
}

// Admit lets the client of that name have one more session, or says why not; target is
// what for. The rules are those of now; they stay the session's until its end.
func (c *Clients) Admit(client, target string) (*Guest, error) {
	c.Rules.Table() // looks whether it has changed
	g := &Guest{clients: c, name: client}
	reason, err := c.enter(g, target)
	if err != nil {
		c.Refuse(reason, client, err)
		return nil, err
	}
	return g, nil
}

// enter counts g in, if the limits allow it.
func (c *Clients) enter(g *Guest, target string) (Refusal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rule := c.Rules.Now().For(g.name) // with mu held, so that older rules cannot be put back
	limits := rule.Limits(c.Limits)
	now := time.Now()
	c.forgetLocked(now)
	most := int(c.SessMax.Max)
	if c.sessions >= most {
		return RefusedTotal, refused(target, "%s: all clients together have %d sessions", c.SessMax.Rule, most)
	}
	key := rules.Fold(g.name)
	cl := c.byName[key]
	if cl == nil {
		cl = &client{key: key, exit: c.Policy.For(rule.Lists()), rule: rule}
	}
	if share := most - most/4; cl.sessions >= share {
		return RefusedTotal, refused(target, "%s: the client has %d of the %d sessions, and the rest is for others", c.SessMax.Rule, cl.sessions, most)
	}
	if most := limits.Sessions; most.Max > 0 && int64(cl.sessions) >= most.Max {
		return RefusedSessions, refused(target, "%s: the client has %d sessions", most.Rule, most.Max)
	}
	cl.followLocked(c, rule, limits)
	if most := limits.Opens; most.Max > 0 && !cl.opens.Take() {
		return RefusedOpens, refused(target, "%s: the client opens more than %d sessions per second", most.Rule, most.Max)
	}
	c.byName[key] = cl
	if cl.inIdle != nil {
		c.idle.Remove(cl.inIdle)
		cl.inIdle = nil
	}
	c.sessions++
	cl.sessions++
	g.client, g.exit = cl, cl.exit
	if limits.Rate.Max > 0 {
		g.in, g.out = cl.in, cl.out
	}
	return "", nil
}

func refused(target, format string, a ...any) error {
	return &code.Error{Code: code.NotAllowed, Text: "target " + target + ": " + fmt.Sprintf(format, a...)}
}

// followLocked makes of cl what the rules and limits now say.
func (cl *client) followLocked(c *Clients, rule *rules.Rule, limits rules.Limits) {
	if rule != cl.rule {
		cl.rule, cl.exit = rule, c.Policy.For(rule.Lists())
	}
	switch n := limits.Opens.Max; {
	case n == 0:
		cl.opens = nil
	case cl.opens == nil:
		cl.opens = meter.NewBucket(n, openBurst*n)
	default:
		cl.opens.Set(n, openBurst*n)
	}
	switch n := limits.Rate.Max; {
	case cl.in != nil: // perhaps for running sessions, also without a limit
		cl.in.SetBytes(n)
		cl.out.SetBytes(n)
	case n > 0:
		cl.in, cl.out = meter.NewBytes(n), meter.NewBytes(n)
	}
}

// leave counts one session of cl less.
func (c *Clients) leave(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions--
	cl.sessions--
	if cl.sessions == 0 {
		cl.idleSince = time.Now()
		cl.inIdle = c.idle.PushBack(cl)
		c.forgetLocked(cl.idleSince)
	}
}

// forgetLocked forgets who has been idle for long enough.
func (c *Clients) forgetLocked(now time.Time) {
	for e := c.idle.Front(); e != nil; e = c.idle.Front() {
		cl := e.Value.(*client)
		if now.Sub(cl.idleSince) < idleKeep && c.idle.Len() <= idleMax {
			return
		}
		c.idle.Remove(e)
		delete(c.byName, cl.key)
	}
}

// Guest is one session of a client, from its request to its end. It is the judge
// of the session's targets.
type Guest struct {
	// Static once it has been admitted.
	clients *Clients
	client  *client
	name    string // empty: the client has no certificate
	exit    *policy.Exit
	in, out *meter.Bucket // nil if its bytes are not limited
}

// Name is the client's, empty for one without a certificate.
func (g *Guest) Name() string { return g.name }

// AllowName implements exit.Judge.
func (g *Guest) AllowName(host string, port uint16) error { return g.exit.AllowName(host, port) }

// AllowAddr implements exit.Judge.
func (g *Guest) AllowAddr(a netip.AddrPort, viaName string) error {
	return g.exit.AllowAddr(a, viaName)
}

// Refused counts and tells that a target was not allowed; why is the judge's. The judge
// does not do so by itself: of a name's addresses one may be allowed.
func (g *Guest) Refused(why error) { g.clients.Refuse(RefusedTarget, g.name, why) }

// Stream is s, at the client's rate if he has one: nothing stands between the ends
// of the others.
func (g *Guest) Stream(s splice.Stream, stop <-chan struct{}) splice.Stream {
	if g.in == nil {
		return s
	}
	return meter.NewStream(s, g.in, g.out, stop)
}

// Leave ends the session. It must be called once.
func (g *Guest) Leave() { g.clients.leave(g.client) }
