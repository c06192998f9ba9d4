package remux

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"tunnels/remux/internal/conn"
)

// Pool maintains the conns to one server. A new session uses the newest conn in use that
// can take it. A conn that is worn (Config.ReuseMaxAge, ReuseMaxCount, ReuseMaxBytes),
// suspect or going away is skipped, but keeps its open sessions.
//
// By default, a conn that reaches its count or age while it has sessions goes on until it
// first has none, but at most to eight times the count and twice the age, so that a page
// or another burst stays on a conn that is past its slow start. A count or age that is set
// does not stretch.
//
// The reuse limits are soft. A conn's successor is dialed before the conn reaches a
// limit, so that no session waits for a handshake. Until the server has sent something on
// the new conn, but for at most a second, the worn one takes up to 2*ReuseMaxCount more
// sessions; any others wait. While no successor is available (the dial fails, takes
// longer than a second, or would exceed ConnMax), the worn conn continues to take
// sessions until it has used up its 32768 numbers or the bytes that one TLS key may
// protect (64 GiB, or ReuseMaxBytes if that is more), and the last such conn is not
// closed when idle.
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

	mu sync.Mutex // may be held while acquiring a conn's lock, but not vice versa
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

// NewPool returns a pool for the server at address. It dials nothing until Warm, Probe,
// Open or Dial is called. The caller must close it.
func (c Config) NewPool(network, address string) *Pool {
	limits := c.limits()
	c = c.defaults()
	p := &Pool{cfg: c, connCfg: c.conn(), limits: limits, network: network, address: address, lastUse: time.Now()}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for i := range p.connCfg.Instance {
		p.connCfg.Instance[i] = rand.Uint32()
	}
	return p
}

// Warm starts dialing a conn if there is none. It does not wait for the result.
func (p *Pool) Warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) == 0 && p.dialing == 0 {
		p.lastUse = time.Now()
		p.dialLocked()
	}
}

// Reachable reports whether the server has sent something on an open conn or, failing
// that, whether there is no reason to expect a dial to fail.
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

// Dial opens a session and announces it to the server.
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

// poolOwner implements conn.Owner for a pool, to keep these methods out of the pool's
// API.
type poolOwner struct{ *Pool }

// ConnIdle implements conn.Owner. It closes an idle conn that is no longer needed.
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

// SessionEnded implements conn.Owner. The conn may now have room for another session.
func (p poolOwner) SessionEnded() { p.Answered() }

// Answered implements conn.Owner. A conn that was suspect may take sessions again.
func (p poolOwner) Answered() {
	p.mu.Lock()
	p.serveLocked(time.Now())
	p.mu.Unlock()
}

// ConnEnded implements conn.Owner. If a conn was lost while in use, it dials the next one
// before a request needs it.
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
		// The server accepted the connection but sent nothing. It may have rejected our
		// certificate or failed at startup, so count this as a failed dial.
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

// ConnGreeted implements conn.Owner. The server has accepted the conn.
func (p poolOwner) ConnGreeted() {
	p.mu.Lock()
	now := time.Now()
	p.lastErr, p.health.lost = nil, nil
	p.serveLocked(now) // the HELLO may allow more sessions
	p.rearmLocked(now) // and this conn may replace a worn one
	p.mu.Unlock()
	p.cfg.Hooks.stateChanged()
}

// Close closes all conns and their sessions immediately, and waits for the goroutines
// that serve them.
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

// Shutdown waits until the sessions have finished or ctx is done, then closes the pool.
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
