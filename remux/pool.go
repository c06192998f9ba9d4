package remux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tunnels/internal/code"
)

// Pool keeps the conns to one server. A session goes to the newest conn in use
// that may take it; a conn may not when it is old (Config.ReuseMaxAge), worn
// (ReuseMaxCount, ReuseMaxBytes), suspect or going away, but keeps the sessions
// it has. Before that happens its successor is dialled, so that no session
// waits for a handshake; until it is there, a conn goes on taking sessions, up
// to twice ReuseMaxCount more from when it was sent for. All methods are safe for concurrent use.
type Pool struct {
	// Static after construction.
	cfg              Config
	network, address string
	ctx              context.Context // ends with Close
	cancel           context.CancelFunc

	wg sync.WaitGroup // dials and conns

	mu sync.Mutex // may be held when conn.mu is taken, never the other way round
	// Guarded by mu.
	conns    []*conn // oldest first
	dialing  int
	waiting  int           // calls of Open without a conn
	changed  chan struct{} // closed, and made anew, when a waiting Open should look again
	lastErr  error         // why the server was last found out of reach; nil: it has spoken since
	failedAt time.Time
	failures int // dials failed, and conns lost young, in a row
	lastUse  time.Time
	timer    *time.Timer // next look at ages and idleness
	retry    *time.Timer // next dial after a failed one
	closed   bool

	health poolHealth
}

// The pool's own times.
const (
	freshFailure = time.Second     // a request need not try again what failed just now
	keepTrying   = 5 * time.Minute // since the last use, a server is dialled again by itself
	settled      = 5 * time.Second // a conn that lived so long was none of the failures in a row
	retryMin     = 200 * time.Millisecond
	retryMax     = 30 * time.Second
)

// NewPool makes a pool for the server at address. Nothing is dialled before
// Warm or Open. Close ends it.
func (c Config) NewPool(network, address string) *Pool {
	p := &Pool{cfg: c.defaults(), network: network, address: address, changed: make(chan struct{}), lastUse: time.Now()}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Warm dials a conn if there is none, and returns at once.
func (p *Pool) Warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) == 0 && p.dialing == 0 {
		p.lastUse = time.Now()
		p.dialLocked()
	}
}

// Reachable says whether there is a conn on which the server has spoken, or
// none but no reason to think that there could not be one.
func (p *Pool) Reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr == nil {
		return true
	}
	for _, c := range p.conns {
		if c.life.received.Load() != 0 {
			return true
		}
	}
	return false
}

// Conns is how many conns there are now.
func (p *Pool) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Dial opens a session and tells the server of it.
func (p *Pool) Dial() (net.Conn, error) {
	s, err := p.Open(context.Background())
	if err != nil {
		return nil, err
	}
	s.announce()
	return s, nil
}

// Open opens a session. The server hears of it with the first Write, or Read.
// It waits, until ctx ends, only where there is no conn that could take the
// session, and fails at once where the last dial failed less than a second ago.
func (p *Pool) Open(ctx context.Context) (*Session, error) {
	for {
		s, wait, err := p.tryOpen()
		if s != nil {
			s.conn.opened(s)
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			err = fmt.Errorf("no conn to %s in time: %w", p.address, context.Cause(ctx))
		}
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// tryOpen opens a session, or says what to wait for (and counts the caller as
// waiting), or why that is in vain.
func (p *Pool) tryOpen() (*Session, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, net.ErrClosed
	}
	now := time.Now()
	p.lastUse = now
	for {
		c := p.pickLocked(now)
		if c == nil {
			break
		}
		s, err := c.open()
		if err != nil {
			continue // it has just ended; the next look will not pick it
		}
		p.succeedLocked(c, now)
		return s, nil, nil
	}
	if p.dialing == 0 {
		if p.lastErr != nil && now.Sub(p.failedAt) < freshFailure {
			return nil, nil, &code.Error{Code: code.General, Text: fmt.Sprintf("server %s cannot be reached: %v", p.address, p.lastErr)}
		}
		p.dialLocked()
	}
	p.waiting++
	p.moreDialsLocked()
	return nil, p.changed, nil
}

// pickLocked chooses the conn for one more session; nil: there is none.
func (p *Pool) pickLocked(now time.Time) *conn {
	var spare, worn, least *conn
	leastLoad := 0
	for i := len(p.conns) - 1; i >= 0; i-- {
		c := p.conns[i]
		w := c.wear(&p.cfg, now)
		switch {
		case !w.takes:
			continue
		case !w.over && w.uses > 0:
			return c
		case !w.over && spare == nil:
			spare = c
		case w.over && worn == nil && w.uses < w.overMax:
			worn = c
		}
		if least == nil || w.sessions < leastLoad {
			least, leastLoad = c, w.sessions
		}
	}
	if spare != nil {
		return spare
	}
	if worn != nil {
		if p.dialing == 0 && !p.failedLatelyLocked(now) {
			p.dialLocked()
		}
		if p.dialing > 0 {
			return worn
		}
	}
	// The limit of conns is hard, those of reuse are not; and a conn that is
	// worn is better than a server that cannot be reached.
	if least != nil && (len(p.conns)+p.dialing >= p.cfg.ConnMax || p.dialing == 0 && p.failedLatelyLocked(now)) {
		return least
	}
	return nil
}

func (p *Pool) failedLatelyLocked(now time.Time) bool {
	return p.lastErr != nil && now.Sub(p.failedAt) < p.backoffMax()
}

// succeedLocked sends for c's successor when c, just used, nears its limits
// and nobody is there or on the way to follow it.
func (p *Pool) succeedLocked(c *conn, now time.Time) {
	w := c.wear(&p.cfg, now)
	if !w.near || p.dialing > 0 || len(p.conns) >= p.cfg.ConnMax || p.failedLatelyLocked(now) {
		return
	}
	for _, other := range p.conns {
		if ow := other.wear(&p.cfg, now); other != c && ow.takes && !ow.near {
			return
		}
	}
	p.dialLocked()
	c.grace(&p.cfg)
}

// connIdle is the owner's part: a conn without sessions that may take no more,
// or whose server is going away, is through.
func (p *Pool) connIdle(c *conn) {
	now := time.Now()
	p.mu.Lock()
	w := c.wear(&p.cfg, now)
	through := !w.takes || w.over && p.dialing == 0
	p.rearmLocked(now)
	p.mu.Unlock()
	if through && w.sessions == 0 {
		c.retire()
	}
}

// connEnded is the owner's part: where a conn was lost while it was wanted, the
// next one is dialled before anybody asks.
func (p *Pool) connEnded(c *conn, err error) {
	defer p.cfg.Hooks.turned()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.conns {
		if other == c {
			p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
			break
		}
	}
	p.lostLocked(err)
	now := time.Now()
	if c.age() >= settled {
		p.failures = 0
	}
	switch {
	case err == nil:
	case c.life.received.Load() == 0:
		// The server took the connection and said nothing on it: it refuses
		// our certificate, or it fails as it starts. That is a failed dial.
		p.failedLocked(err)
	case len(p.conns) == 0:
		p.lastErr = err // not reachable, until the next conn says otherwise
		p.failures++
		if wanted := now.Sub(p.lastUse) < p.cfg.IdleMax; wanted && p.failures == 1 {
			if p.dialing == 0 {
				p.dialLocked()
			}
		} else if wanted { // not for the first time: conns die young here
			p.retryLocked()
		}
	}
	p.changedLocked()
	p.rearmLocked(now)
}

// connGreeted is the owner's part: the server has taken the conn.
func (p *Pool) connGreeted() {
	p.mu.Lock()
	p.lastErr, p.health.lost = nil, nil
	p.mu.Unlock()
	p.cfg.Hooks.turned()
}

// accept is the owner's part. A server opens no sessions yet.
func (p *Pool) accept(*conn, *Session) bool { return false }

func (p *Pool) changedLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close ends all conns and their sessions at once, and waits for what served
// them.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	p.closed = true
	conns := append([]*conn(nil), p.conns...)
	for _, t := range []*time.Timer{p.timer, p.retry} {
		if t != nil {
			t.Stop()
		}
	}
	p.changedLocked()
	p.mu.Unlock()
	p.cancel()
	for _, c := range conns {
		c.kill()
	}
	p.wg.Wait()
	return nil
}

// Shutdown lets the sessions finish, until ctx ends, and closes the pool.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	conns := append([]*conn(nil), p.conns...)
	p.mu.Unlock()
	for _, c := range conns {
		c.retire()
	}
	err := awaitConns(ctx, conns)
	if cerr := p.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}

// awaitConns waits for all conns to end.
func awaitConns(ctx context.Context, conns []*conn) error {
	for _, c := range conns {
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("sessions still open: %w", context.Cause(ctx))
		}
	}
	return nil
}
