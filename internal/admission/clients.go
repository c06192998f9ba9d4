// Package admission decides which clients a server admits: it tracks each client's
// policy, limits and usage.
package admission

import (
	"cmp"
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

// DefaultSessMax is the limit for all clients together if Config.SessMax sets none.
const DefaultSessMax = 65536

const (
	openBurst = 5 // burst of new sessions, as seconds of the rate

	// A client without sessions is kept for idleKeep, by which time its buckets are
	// full again; at most idleMax such clients are kept.
	idleKeep = time.Minute
	idleMax  = 4096
)

// Refusal is the reason why a server refused a request.
type Refusal string

// The reasons for refusing a request.
const (
	RefusedTarget   Refusal = "target"          // forbidden by the lists or the client's rules
	RefusedSessions Refusal = "client sessions" // the client has reached its own limit
	RefusedOpens    Refusal = "client opens"    // the client opens sessions too fast
	RefusedTotal    Refusal = "sessions"        // the limit for all clients is reached
	RefusedConns    Refusal = "conns"           // there is no room for the client's conn, or it is unused
)

var refusals = [...]Refusal{RefusedTarget, RefusedSessions, RefusedOpens, RefusedTotal, RefusedConns}

// Config holds the policy and limits for clients.
type Config struct {
	Policy  *policy.Exit // applies to all clients
	Rules   *rules.File  // per client; nil for none
	Limits  rules.Limits // for clients without limits in the rules
	SessMax rules.Limit  // for the sessions of all clients together; 0 means DefaultSessMax

	// Refused, if not nil, is called for each refusal, with no lock held; client is the
	// name in the certificate, or empty. The error names the target and the rule.
	Refused func(reason Refusal, client string, why error)
}

// Clients tracks the clients of a server. A client is identified by its certificate
// name, across conns; conns without a certificate count as one client. The methods may
// be called from any goroutine.
type Clients struct {
	Config // immutable after creation

	refused [len(refusals)]atomic.Uint64 // number of refusals by reason

	mu       sync.Mutex
	sessions int                // guarded by mu; sessions of all clients
	byName   map[string]*client // guarded by mu; by rules.Fold of the name
	idle     list.List          // guarded by mu; elements are *client without sessions, longest idle first
}

// New returns Clients configured by c.
func New(c Config) *Clients {
	c.SessMax.Max = cmp.Or(c.SessMax.Max, DefaultSessMax)
	for _, l := range []*rules.Limit{&c.SessMax, &c.Limits.Sessions, &c.Limits.Opens, &c.Limits.Rate} {
		l.Rule = cmp.Or(l.Rule, "the server's limits")
	}
	return &Clients{Config: c, byName: map[string]*client{}}
}

// Refuse counts and reports a refusal.
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

// Counts returns the number of refusals by reason.
func (c *Clients) Counts() map[Refusal]uint64 {
	all := make(map[Refusal]uint64, len(refusals))
	for i, r := range refusals {
		all[r] = c.refused[i].Load()
	}
	return all
}

// Sessions returns the number of sessions of all clients.
func (c *Clients) Sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// client holds the state of one client.
type client struct {
	key string // immutable after creation

	// Guarded by clients.mu:
	sessions  int
	idleSince time.Time
	inIdle    *list.Element // nil while it has sessions
	rule      *rules.Rule   // the rule exit was derived from
	exit      *policy.Exit
	opens     *meter.Bucket // nil if never limited
	in, out   *meter.Bucket // nil if never limited
}

// Admit admits a new session from the named client to target, or returns an error with
// the reason for refusing it. The current rules apply to the session until it ends.
func (c *Clients) Admit(client, target string) (*Lease, error) {
	c.Rules.Table() // reloads the file if it has changed
	l := &Lease{clients: c, name: client}
	reason, err := c.enter(l, target)
	if err != nil {
		c.Refuse(reason, client, err)
		return nil, err
	}
	return l, nil
}

// enter adds l to the counts if the limits allow it.
func (c *Clients) enter(l *Lease, target string) (Refusal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rule := c.Rules.Now().For(l.name) // under mu, so that older rules cannot replace newer ones
	limits := rule.Limits(c.Limits)
	now := time.Now()
	c.forgetLocked(now)
	most := int(c.SessMax.Max)
	if c.sessions >= most {
		return RefusedTotal, refused(target, "%s: all clients together have %d sessions", c.SessMax.Rule, most)
	}
	key := rules.Fold(l.name)
	cl := c.byName[key]
	if cl == nil {
		cl = &client{key: key, exit: c.Policy.For(rule.Lists()), rule: rule}
	}
	if share := most - most/4; cl.sessions >= share {
		return RefusedTotal, refused(target, "%s: the client has %d of the %d sessions, and the rest is reserved for others", c.SessMax.Rule, cl.sessions, most)
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
	l.client, l.exit = cl, cl.exit
	if limits.Rate.Max > 0 {
		l.in, l.out = cl.in, cl.out
	}
	return "", nil
}

func refused(target, format string, a ...any) error {
	return &code.Error{Code: code.NotAllowed, Text: "target " + target + ": " + fmt.Sprintf(format, a...)}
}

// followLocked applies the current rules and limits to cl.
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
	case cl.in != nil: // running sessions may still use the meters, even if there is no longer a limit
		cl.in.SetBytes(n)
		cl.out.SetBytes(n)
	case n > 0:
		cl.in, cl.out = meter.NewBytes(n), meter.NewBytes(n)
	}
}

// leave ends one session of cl.
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

// forgetLocked removes clients that have been idle long enough.
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

// Lease is one session of a client, from its request to its end. It judges the
// session's targets.
type Lease struct {
	// Immutable after admission.
	clients *Clients
	client  *client
	name    string // empty if the client has no certificate
	exit    *policy.Exit
	in, out *meter.Bucket // nil if the client's rate is not limited
}

// Name returns the client's name, or "" for a client without a certificate.
func (l *Lease) Name() string { return l.name }

// AllowName implements exit.Judge.
func (l *Lease) AllowName(host string, port uint16) error { return l.exit.AllowName(host, port) }

// AllowAddr implements exit.Judge.
func (l *Lease) AllowAddr(a netip.AddrPort, viaName string) error {
	return l.exit.AllowAddr(a, viaName)
}

// Refused counts and reports a forbidden target; why is the judge's reason. The judge
// does not report it, because another address of the same name may be allowed.
func (l *Lease) Refused(why error) { l.clients.Refuse(RefusedTarget, l.name, why) }

// Stream returns s limited to the client's rate, or s itself if the client has no
// limit.
func (l *Lease) Stream(s splice.Stream, stop <-chan struct{}) splice.Stream {
	if l.in == nil {
		return s
	}
	return meter.NewStream(s, l.in, l.out, stop)
}

// Leave ends the session. It must be called once.
func (l *Lease) Leave() { l.clients.leave(l.client) }
