package remux

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tunnels/remux/internal/conn"
)

// Pool keeps the conns to one server. A new session uses the newest conn in use that may
// take it. A conn that is worn (Config.ReuseMaxAge, ReuseMaxCount, ReuseMaxBytes),
// suspect or going away is skipped, but keeps its open sessions.
//
// The limits of reuse are soft. Before a conn reaches one, its successor is dialed, so
// that no session waits for a handshake. Until the server has sent something on the new
// conn, but for at most a second, a worn one takes up to 2*ReuseMaxCount more sessions;
// further ones wait. While no successor is available (the dial fails, takes longer than a
// second, or would exceed ConnMax), the worn conn takes sessions until its numbers
// (32768) or the bytes that one TLS key may protect (64 GiB, or ReuseMaxBytes if that is
// more) are used up, and the last such conn is not closed when idle.
//
// All methods are safe for concurrent use.
type Pool struct {
	// Immutable after construction.
	cfg              Config
	connCfg          *conn.Config
	limits           conn.ReuseLimits
	network, address string
	ctx              context.Context // canceled by Close
	cancel           context.CancelFunc

	wg sync.WaitGroup // dials and conns

	mu sync.Mutex // may be held while acquiring a conn's lock, never the other way round
	// Guarded by mu.
	conns    []*conn.Conn // oldest first
	dialing  int
	waiters  list.List // of chan opening: blocked calls of Open, oldest first
	lastErr  error     // why the server was last unreachable, or nil if it has sent something since
	failedAt time.Time
	failures int // consecutive failed dials and early losses of conns
	lastUse  time.Time
	timer    *time.Timer // next sweep
	retry    *time.Timer // next dial after a failed one
	slow     *time.Timer // fires when a dial, or the wait for a new conn's first frame, becomes slow
	closed   bool

	health poolHealth
}

// Timeouts that cannot be configured.
const (
	freshFailure = time.Second     // a request does not retry a dial that failed this recently
	keepTrying   = 5 * time.Minute // a server used this recently is redialed without a request
	settled      = 5 * time.Second // a conn that lasted this long resets the count of failures
	retryMin     = 200 * time.Millisecond
	retryMax     = 30 * time.Second
)

// NewPool returns a pool for the server at address. Nothing is dialed before Warm,
// Probe or Open. Close ends it.
func (c Config) NewPool(network, address string) *Pool {
	c = c.defaults()
	p := &Pool{cfg: c, connCfg: c.conn(), limits: c.limits(), network: network, address: address, lastUse: time.Now()}
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

// Reachable reports whether there is a conn on which the server has sent something or,
// without one, no reason to expect that a dial would fail.
func (p *Pool) Reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr == nil {
		return true
	}
	for _, c := range p.conns {
		if c.Heard() {
			return true
		}
	}
	return false
}

// count returns the number of conns.
func (p *Pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Dial opens a session and tells the server about it.
func (p *Pool) Dial() (net.Conn, error) {
	s, err := p.open(context.Background())
	if err != nil {
		return nil, err
	}
	s.Announce()
	return s, nil
}

func (p *Pool) failedLatelyLocked(now time.Time) bool {
	return p.lastErr != nil && now.Sub(p.failedAt) < p.backoffMax()
}

// succeedLocked dials c's successor if c, just used, is near its limits and no successor
// is ready or being dialed.
func (p *Pool) succeedLocked(c *conn.Conn, now time.Time) {
	w := c.Reuse(&p.limits, now)
	if !w.Near || p.dialing > 0 || len(p.conns) >= p.cfg.ConnMax || p.failedLatelyLocked(now) {
		return
	}
	for _, other := range p.conns {
		if ow := other.Reuse(&p.limits, now); other != c && ow.Takes && !ow.Near {
			return
		}
	}
	p.dialLocked()
}

// poolOwner implements conn.Owner for a pool, which keeps these methods out of its API.
type poolOwner struct{ *Pool }

// ConnIdle implements conn.Owner: it closes an idle conn that is no longer needed.
func (p poolOwner) ConnIdle(c *conn.Conn) {
	now := time.Now()
	p.mu.Lock()
	over := p.overLocked(c, c.Reuse(&p.limits, now), now)
	p.rearmLocked(now)
	p.mu.Unlock()
	if over {
		c.Retire()
	}
}

// SessionEnded implements conn.Owner: the conn may have room for a new session.
func (p poolOwner) SessionEnded() { p.Answered() }

// Answered implements conn.Owner: a conn that was suspect may take sessions again.
func (p poolOwner) Answered() {
	p.mu.Lock()
	p.serveLocked(time.Now())
	p.mu.Unlock()
}

// ConnEnded implements conn.Owner: if a conn was lost while in use, the next one is
// dialed before a request needs it.
func (p poolOwner) ConnEnded(c *conn.Conn, err error) {
	defer p.cfg.Hooks.stateChanged()
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
	if c.Age() >= settled {
		p.failures = 0
	}
	switch {
	case err == nil:
	case !c.Heard():
		// The server accepted the connection and sent nothing: it refuses our
		// certificate, or is failing at startup. Count it as a failed dial.
		p.failedLocked(err)
	case len(p.conns) == 0:
		p.lastErr = err // unreachable until the next conn proves otherwise
		p.failures++
		if wanted := now.Sub(p.lastUse) < p.cfg.IdleMax; wanted && p.failures == 1 {
			if p.dialing == 0 {
				p.dialLocked()
			}
		} else if wanted { // the previous conn or dial failed as well: back off
			p.retryLocked()
		}
	}
	p.serveLocked(now)
	p.rearmLocked(now)
}

// ConnGreeted implements conn.Owner: the server has accepted the conn.
func (p poolOwner) ConnGreeted() {
	p.mu.Lock()
	now := time.Now()
	p.lastErr, p.health.lost = nil, nil
	p.serveLocked(now) // the HELLO may allow more sessions
	p.rearmLocked(now) // and this conn may replace a worn one
	p.mu.Unlock()
	p.cfg.Hooks.stateChanged()
}

// Close ends all conns and their sessions at once, and waits for the goroutines that
// serve them.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	p.closed = true
	conns := append([]*conn.Conn(nil), p.conns...)
	for _, t := range []*time.Timer{p.timer, p.retry, p.slow} {
		if t != nil {
			t.Stop()
		}
	}
	p.serveLocked(time.Now())
	p.mu.Unlock()
	p.cancel()
	for _, c := range conns {
		c.Kill()
	}
	p.wg.Wait()
	return nil
}

// Shutdown waits for sessions to finish, until ctx ends, and closes the pool.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	conns := append([]*conn.Conn(nil), p.conns...)
	p.mu.Unlock()
	for _, c := range conns {
		c.Retire()
	}
	err := awaitConns(ctx, conns)
	if cerr := p.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}

// awaitConns waits for all conns to end.
func awaitConns(ctx context.Context, conns []*conn.Conn) error {
	for _, c := range conns {
		select {
		case <-c.Done():
		case <-ctx.Done():
			return fmt.Errorf("sessions still open: %w", context.Cause(ctx))
		}
	}
	return nil
}
