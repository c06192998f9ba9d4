package upstream

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/splice"
	"tunnels/remux"
)

// Link is the way to one server. Its methods may be called from any goroutine.
type Link interface {
	// Open makes what carries one request.
	Open(ctx context.Context) (splice.Stream, error)
	// Reachable reports whether there is no reason to think that the server is not.
	Reachable() bool
	// Health returns how the server appears to be, and why it is not Up.
	Health() (remux.State, error)
	// RTT returns the round trip to the server, or false if it is not known.
	RTT() (time.Duration, bool)
	// Probe finds out anew, in the background; false: it was tried just now.
	Probe() bool
	Shutdown(ctx context.Context) error
	Close() error
}

// Pooled is the way by a pool of conns.
type Pooled struct{ *remux.Pool }

// Open implements Link.
func (p Pooled) Open(ctx context.Context) (splice.Stream, error) {
	s, err := p.Pool.Open(ctx)
	if err != nil {
		return nil, err // and not a nil remux.Session
	}
	return s, nil
}

// Patience is how long one connection may take to be made while there are other
// servers to try.
const Patience = 4 * time.Second

// DirectConfig says how a Direct connects. Fields are not to be changed once it is in
// use.
type DirectConfig struct {
	Dial             func(ctx context.Context, network, address string) (net.Conn, error)
	Network, Address string
	Limit            time.Duration                      // for a dial; 0: none but the context's
	Told             func(string, time.Duration, error) // of every dial; may be nil
	StateChanged     func()                             // Health may return something else; may be nil
}

// Direct is the way by a connection for each request. Its round trip is the time that
// one takes to be made.
type Direct struct {
	// Set once, never changed.
	DirectConfig
	ctx    context.Context // ends probes
	cancel context.CancelFunc

	reach reach
	wg    sync.WaitGroup // probes

	mu      sync.Mutex
	probing bool          // guarded by mu
	known   bool          // guarded by mu; a dial has ended
	took    time.Duration // guarded by mu; to be made; 0: none was
}

// NewDirect makes the way to one server.
func NewDirect(c DirectConfig) *Direct {
	d := &Direct{DirectConfig: c}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Open implements Link.
func (d *Direct) Open(ctx context.Context) (splice.Stream, error) {
	if err := d.reach.justFailed(); err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, &code.Error{Code: code.General, Text: fmt.Sprintf("server %s cannot be reached: %v", d.Address, err)}
	}
	return conn.(splice.Stream), nil
}

// connect dials, and notes how that went.
func (d *Direct) connect(ctx context.Context) (net.Conn, error) {
	within := ctx
	if d.Limit > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeoutCause(ctx, d.Limit, fmt.Errorf("no connection within %s", d.Limit))
		defer cancel()
	}
	begin := time.Now()
	conn, err := d.Dial(within, d.Network, d.Address)
	real := time.Since(begin)
	took := real
	if err != nil && ctx.Err() == context.Canceled {
		return nil, err // cancelled: says nothing about the server
	}
	d.reach.note(err)
	d.mu.Lock()
	d.known = true
	if err == nil {
		// The shortest is the path's own; longer ones have waited, and count less.
		if old := d.took; old != 0 && took > old {
			took = old + (took-old)/4
		}
		d.took = max(took, 1)
	}
	d.mu.Unlock()
	if d.Told != nil {
		d.Told(d.Address, real, err)
	}
	if d.StateChanged != nil {
		d.StateChanged()
	}
	return conn, err
}

// Reachable implements Link.
func (d *Direct) Reachable() bool { return d.reach.ok() }

// Health implements Link.
func (d *Direct) Health() (remux.State, error) {
	if err := d.reach.failed(); err != nil {
		return remux.Down, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return remux.Unknown, errUnknown
	}
	return remux.Up, nil
}

// RTT implements Link.
func (d *Direct) RTT() (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.took, d.took > 0
}

// Probe implements Link.
func (d *Direct) Probe() bool {
	if d.reach.justFailed() != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.probing || d.ctx.Err() != nil {
		return d.probing
	}
	d.probing = true
	d.wg.Go(func() {
		conn, err := d.connect(d.ctx)
		if err == nil {
			_ = conn.Close() // nothing was said on it
		}
		d.mu.Lock()
		d.probing = false
		d.mu.Unlock()
	})
	return true
}

// Shutdown implements Link. It has nothing to wait for but probes: connections end with their
// requests.
func (d *Direct) Shutdown(context.Context) error {
	return d.Close()
}

// Close implements Link.
func (d *Direct) Close() error {
	d.mu.Lock()
	d.cancel() // with mu held: no probe begins behind it
	d.mu.Unlock()
	d.wg.Wait()
	return nil
}
