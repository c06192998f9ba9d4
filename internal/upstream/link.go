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

// Link is the connection to one server. Its methods may be called from any goroutine.
type Link interface {
	// Open returns a stream for one request.
	Open(ctx context.Context) (splice.Stream, error)
	// Reachable reports whether nothing suggests that the server is unreachable.
	Reachable() bool
	// Health returns the server's state, and an error if it is not Up.
	Health() (remux.State, error)
	// RTT returns the round-trip time to the server, or false if it is unknown.
	RTT() (time.Duration, bool)
	// Probe checks the server in the background. It returns false if the server was
	// checked very recently.
	Probe() bool
	Shutdown(ctx context.Context) error
	Close() error
}

// Pooled is a Link that uses a pool of conns.
type Pooled struct{ *remux.Pool }

// Open implements Link.
func (p Pooled) Open(ctx context.Context) (splice.Stream, error) {
	s, err := p.Pool.Open(ctx)
	if err != nil {
		return nil, err // s would become a non-nil splice.Stream
	}
	return s, nil
}

// Patience limits the duration of a connection attempt while there are other servers to
// try.
const Patience = 4 * time.Second

// DirectConfig configures a Direct. Its fields must not change once it is in use.
type DirectConfig struct {
	Dial             func(ctx context.Context, network, address string) (net.Conn, error)
	Network, Address string
	Limit            time.Duration                      // limits a dial; 0 means that only the context limits it
	Told             func(string, time.Duration, error) // called after every dial; may be nil
	StateChanged     func()                             // called when the result of Health may have changed; may be nil
}

// Direct is a Link that dials a connection for each request. The time it takes to
// connect serves as its round-trip time.
type Direct struct {
	// Immutable after creation.
	DirectConfig
	ctx    context.Context // cancels probes
	cancel context.CancelFunc

	reach reach
	wg    sync.WaitGroup // probes

	mu      sync.Mutex
	probing bool          // guarded by mu
	known   bool          // guarded by mu; whether a dial has completed
	took    time.Duration // guarded by mu; time to connect, 0 if unknown
}

// NewDirect returns a Direct for one server.
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

// connect dials and records the result.
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
		return nil, err // cancellation says nothing about the server
	}
	d.reach.note(err)
	d.mu.Lock()
	d.known = true
	if err == nil {
		// The shortest time is closest to the path's round trip. Longer ones include
		// delays, so they count less.
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
			_ = conn.Close() // nothing was sent, so the error does not matter
		}
		d.mu.Lock()
		d.probing = false
		d.mu.Unlock()
	})
	return true
}

// Shutdown implements Link. It waits only for probes, because each connection is closed
// with its request.
func (d *Direct) Shutdown(context.Context) error {
	return d.Close()
}

// Close implements Link.
func (d *Direct) Close() error {
	d.mu.Lock()
	d.cancel() // while holding mu, so that no probe starts afterwards
	d.mu.Unlock()
	d.wg.Wait()
	return nil
}
