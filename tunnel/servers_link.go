package tunnel

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

// link is the way to one server.
type link interface {
	// open makes what carries one request.
	open(ctx context.Context) (splice.Stream, error)
	// reachable: there is no reason to think that the server is not.
	reachable() bool
	// look says how the server appears to be, and why it is not Up.
	look() (remux.State, error)
	// rtt is how far away it is; false: nobody knows.
	rtt() (time.Duration, bool)
	// probe finds out anew, in the background; false: it was tried just now.
	probe() bool
	shutdown(ctx context.Context) error
	close()
}

// pooled is the way by a pool of conns.
type pooled struct{ *remux.Pool }

func (p pooled) open(ctx context.Context) (splice.Stream, error) {
	s, err := p.Open(ctx)
	if err != nil {
		return nil, err // and not a nil *remux.Session
	}
	return s, nil
}

func (p pooled) reachable() bool                    { return p.Reachable() }
func (p pooled) look() (remux.State, error)         { return p.Look() }
func (p pooled) rtt() (time.Duration, bool)         { return p.RTT() }
func (p pooled) probe() bool                        { return p.Probe() }
func (p pooled) shutdown(ctx context.Context) error { return p.Shutdown(ctx) }
func (p pooled) close()                             { _ = p.Close() } // it may be closed already

// patience is how long one connection may take to be made while there are other
// servers to try.
const patience = 4 * time.Second

// direct is the way by a connection for each request. Its round trip is the time
// that one takes to be made.
type direct struct {
	// Static.
	dial             func(ctx context.Context, network, address string) (net.Conn, error)
	network, address string
	limit            time.Duration                      // for a dial; 0: none but the context's
	told             func(string, time.Duration, error) // of every dial; may be nil
	turned           func()                             // look may say something else; may be nil
	ctx              context.Context                    // ends probes
	cancel           context.CancelFunc

	reach reach
	wg    sync.WaitGroup // probes

	mu      sync.Mutex
	probing bool          // guarded by mu
	known   bool          // guarded by mu; a dial has ended
	took    time.Duration // guarded by mu; to be made; 0: none was
}

func newDirect(dial func(context.Context, string, string) (net.Conn, error), network, address string) *direct {
	d := &direct{dial: dial, network: network, address: address}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *direct) open(ctx context.Context) (splice.Stream, error) {
	if err := d.reach.justFailed(); err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, &code.Error{Code: code.General, Text: fmt.Sprintf("server %s cannot be reached: %v", d.address, err)}
	}
	return conn.(splice.Stream), nil
}

// connect dials, and notes how that went.
func (d *direct) connect(ctx context.Context) (net.Conn, error) {
	within := ctx
	if d.limit > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeoutCause(ctx, d.limit, fmt.Errorf("no connection within %s", d.limit))
		defer cancel()
	}
	begin := time.Now()
	conn, err := d.dial(within, d.network, d.address)
	real := time.Since(begin)
	took := real
	if err != nil && ctx.Err() == context.Canceled {
		return nil, err // nobody wanted it any more
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
	if d.told != nil {
		d.told(d.address, real, err)
	}
	if d.turned != nil {
		d.turned()
	}
	return conn, err
}

func (d *direct) reachable() bool { return d.reach.ok() }

func (d *direct) look() (remux.State, error) {
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

func (d *direct) rtt() (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.took, d.took > 0
}

func (d *direct) probe() bool {
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

// shutdown has nothing to wait for but probes: connections end with their
// requests.
func (d *direct) shutdown(context.Context) error {
	d.close()
	return nil
}

func (d *direct) close() {
	d.mu.Lock()
	d.cancel() // with mu held: no probe begins behind it
	d.mu.Unlock()
	d.wg.Wait()
}
