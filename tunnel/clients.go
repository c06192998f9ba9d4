package tunnel

import (
	"cmp"
	"container/list"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/meter"
	"tunnels/internal/policy"
	"tunnels/internal/rules"
	"tunnels/internal/splice"
	"tunnels/sla"
)

const (
	sessMax   = 65536 // sessions of all clients, by default
	openBurst = 5     // seconds' worth of opened sessions that may come at one time

	// A client without a session is remembered for idleKeep, in which his buckets
	// are full again, and only so many are.
	idleKeep = time.Minute
	idleMax  = 4096
)

// clients are those of a server: what each of them may reach and use, and what he
// uses. A client is the name in his certificate, with all his conns; those without
// one are one client together.
type clients struct {
	// Static after construction.
	policy   *policy.Exit // what holds for all
	file     *rules.File  // nil: none
	limits   rules.Limits
	most     int // sessions of all
	refusals *refusals

	mu       sync.Mutex
	sessions int                // guarded by mu; of all
	byName   map[string]*client // guarded by mu; by rules.Fold of the name
	idle     list.List          // guarded by mu; of *client without a session, the longest so first
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

// newClients reads the file of rules.
func newClients(cfg *Config, all *policy.Exit, log *sla.Logger) (*clients, error) {
	c := &clients{
		policy:   all,
		most:     cmp.Or(cfg.SessMax, sessMax),
		refusals: newRefusals(log, "refused client"),
		byName:   map[string]*client{},
		limits: rules.Limits{
			Sessions: rules.Limit{Max: int64(cfg.ClientSessMax), Rule: "-server.client.sess.max.cnt"},
			Opens:    rules.Limit{Max: int64(cfg.ClientOpenMax), Rule: "-server.client.open.max.sec"},
			Rate:     rules.Limit{Max: cfg.ClientRateMax, Rule: "-server.client.rate.max.kb"},
		},
	}
	if cfg.Rules == "" {
		return c, nil
	}
	var err error
	c.file, err = rules.Open(cfg.Rules, func(err error) {
		if err != nil {
			log.Error("reading rules again: %s; those read before stay in force", rules.OneLine(err))
			return
		}
		log.Info("read rules (%s) again", cfg.Rules)
	})
	if err != nil {
		return nil, fmt.Errorf("-server.rules: %w", err)
	}
	return c, nil
}

// reload reads the file of rules now, changed or not.
func (c *clients) reload() error {
	if err := c.file.Reload(); err != nil {
		return fmt.Errorf("-server.rules: %s", rules.OneLine(err))
	}
	return nil
}

// close ends what clients does by itself.
func (c *clients) close() { c.refusals.close() }

// admit lets a client have one more session, or says why not; target is what for.
// The rules are those of now; they stay the session's until its end.
func (c *clients) admit(conn net.Conn, target string) (*guest, error) {
	name := peerOf(conn)
	c.file.Table() // looks whether it has changed
	g := &guest{clients: c, name: name}
	reason, err := c.enter(g, target)
	if err != nil {
		c.refusals.note(reason, name, err)
		return nil, err
	}
	return g, nil
}

// enter counts g in, if the limits allow it.
func (c *clients) enter(g *guest, target string) (Refusal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rule := c.file.Now().For(g.name) // with mu held: nobody puts older rules back
	limits := rule.Limits(c.limits)
	now := time.Now()
	c.forgetLocked(now)
	if c.sessions >= c.most {
		return RefusedTotal, refused(target, "-server.sess.max.cnt: all clients together have %d sessions", c.most)
	}
	key := rules.Fold(g.name)
	cl := c.byName[key]
	if cl == nil {
		cl = &client{key: key, exit: c.policy.For(rule.Lists()), rule: rule}
	}
	if share := c.most - c.most/4; cl.sessions >= share {
		return RefusedTotal, refused(target, "-server.sess.max.cnt: the client has %d of the %d sessions, and the rest is for others", cl.sessions, c.most)
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
func (cl *client) followLocked(c *clients, rule *rules.Rule, limits rules.Limits) {
	if rule != cl.rule {
		cl.rule, cl.exit = rule, c.policy.For(rule.Lists())
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
func (c *clients) leave(cl *client) {
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
func (c *clients) forgetLocked(now time.Time) {
	for e := c.idle.Front(); e != nil; e = c.idle.Front() {
		cl := e.Value.(*client)
		if now.Sub(cl.idleSince) < idleKeep && c.idle.Len() <= idleMax {
			return
		}
		c.idle.Remove(e)
		delete(c.byName, cl.key)
	}
}

// guest is one session of a client, from its request to its end. It is the judge
// of the session's targets.
type guest struct {
	// Static once it has been admitted.
	clients *clients
	client  *client
	name    string // empty: the client has no certificate
	exit    *policy.Exit
	in, out *meter.Bucket // nil: his bytes are not limited
}

// asker names the client where clients share something fairly: by its certificate,
// or by the address of conn where it has none.
func (g *guest) asker(conn net.Conn) string {
	if g.name != "" {
		return g.name
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// AllowName implements judge.
func (g *guest) AllowName(host string, port uint16) error { return g.exit.AllowName(host, port) }

// AllowAddr implements judge.
func (g *guest) AllowAddr(a netip.AddrPort, viaName string) error {
	return g.exit.AllowAddr(a, viaName)
}

// refused logs and counts that a target was not allowed; err is the judge's. The
// judge does not do so by itself: of a name's addresses one may be allowed.
func (g *guest) refused(err error) { g.clients.refusals.note(RefusedTarget, g.name, err) }

// stream is s, at the client's rate if he has one: nothing stands between the ends
// of the others.
func (g *guest) stream(s splice.Stream, stop <-chan struct{}) splice.Stream {
	if g.in == nil {
		return s
	}
	return meter.NewStream(s, g.in, g.out, stop)
}

// leave ends the session. It must be called once.
func (g *guest) leave() { g.clients.leave(g.client) }

// peerOf is the name in the certificate of who is at the other end; empty: there is
// none.
func peerOf(conn net.Conn) string {
	if s, ok := conn.(interface{ Lower() net.Conn }); ok {
		conn = s.Lower()
	}
	if c, ok := conn.(interface{ PeerName() string }); ok {
		return c.PeerName()
	}
	return ""
}
