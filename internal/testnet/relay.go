package testnet

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay is the network between a client, which connects to Addr, and a server, its
// target. It starts out perfect. Every setting may be changed at any time from any
// goroutine and also affects open connections.
//
// It delays data, but not the kernel's handshake: connecting to a Relay takes no extra
// time.
type Relay struct {
	Addr string // host:port it listens on

	target string
	ln     net.Listener
	wg     sync.WaitGroup
	done   chan struct{} // closed by Close

	delay   atomic.Int64 // nanoseconds, one way
	rate    atomic.Int64 // bytes per second each way; 0 means no limit
	dropNew atomic.Bool

	accepted atomic.Int64
	up, down atomic.Int64 // bytes delivered to the server and to the client

	mu     sync.Mutex
	links  map[*link]struct{} // guarded by mu
	open   chan struct{}      // guarded by mu; closed unless the relay is stalled
	closed bool               // guarded by mu
}

// NewRelay starts a relay to target, a host:port where nothing needs to be listening
// yet.
func NewRelay(tb testing.TB, target string) *Relay {
	tb.Helper()
	ln := listen(tb)
	r := &Relay{
		Addr:   ln.Addr().String(),
		target: target,
		ln:     ln,
		done:   make(chan struct{}),
		links:  make(map[*link]struct{}),
		open:   make(chan struct{}),
	}
	close(r.open)
	r.wg.Go(r.accept)
	tb.Cleanup(r.Close)
	return r
}

// SetDelay delays all data read from now on by d in each direction, adding 2d to the
// round-trip time.
func (r *Relay) SetDelay(d time.Duration) { r.delay.Store(int64(d)) }

// SetRate limits each direction of each connection to that many bytes per second; 0
// means no limit. Connections opened while a limit is set also get small kernel
// buffers, like the short queue at a network bottleneck.
func (r *Relay) SetRate(bytesPerSecond int64) { r.rate.Store(bytesPerSecond) }

// DropNew sets whether the relay resets new connections as soon as it accepts them.
func (r *Relay) DropNew(on bool) { r.dropNew.Store(on) }

// Stall sets whether the relay holds back all data. It closes nothing, so peers can
// detect a stall only by a timeout. New connections are still accepted but carry no
// data, and the kernel still acknowledges data that fits in its buffers.
func (r *Relay) Stall(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.open:
		if on {
			r.open = make(chan struct{})
		}
	default:
		if !on {
			close(r.open)
		}
	}
}

// Reset resets both sides of every open connection (TCP RST); bytes in flight are lost.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		l.abort()
	}
}

// Accepted returns how many connections the relay has accepted, including dropped ones.
func (r *Relay) Accepted() int64 { return r.accepted.Load() }

// Open returns how many connections the relay is carrying.
func (r *Relay) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}

// Bytes returns how many bytes the relay has delivered to the server and to the client.
func (r *Relay) Bytes() (up, down int64) { return r.up.Load(), r.down.Load() }

// Close stops listening, resets every connection and waits for all goroutines.
func (r *Relay) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.done)
	}
	r.mu.Unlock()
	r.ln.Close()
	r.Reset()
	r.wg.Wait()
}

func (r *Relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.accepted.Add(1)
		client := c.(*net.TCPConn)
		if r.dropNew.Load() {
			abort(client)
			continue
		}
		r.wg.Go(func() { r.serve(client) })
	}
}

// serve carries one connection until both directions have ended.
func (r *Relay) serve(client *net.TCPConn) {
	l := &link{client: client, ended: make(chan struct{})}
	if !r.add(l) {
		abort(client)
		return
	}
	defer r.remove(l)
	if !r.pass(l) || !r.connect(l) {
		l.abort()
		return
	}
	up := newLane(r, l, client, l.server, &r.up)
	down := newLane(r, l, l.server, client, &r.down)
	up.back, down.back = down, up
	var wg sync.WaitGroup
	wg.Go(up.read)
	wg.Go(up.write)
	wg.Go(down.read)
	wg.Go(down.write)
	wg.Wait()
	l.close()
}

// connect dials the target.
func (r *Relay) connect(l *link) bool {
	c, err := net.DialTimeout("tcp", r.target, 10*time.Second)
	if err != nil {
		return false
	}
	server := c.(*net.TCPConn)
	if r.rate.Load() > 0 {
		for _, c := range []*net.TCPConn{l.client, server} {
			c.SetReadBuffer(limitedBuffer)
			c.SetWriteBuffer(limitedBuffer)
		}
	}
	return l.setServer(server)
}

// pass waits while the relay is stalled. It returns false if the link has ended.
func (r *Relay) pass(l *link) bool {
	for {
		r.mu.Lock()
		open := r.open
		r.mu.Unlock()
		select {
		case <-open:
			return true
		default:
		}
		select {
		case <-open:
		case <-l.ended:
			return false
		}
	}
}

func (r *Relay) add(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.links[l] = struct{}{}
	return true
}

func (r *Relay) remove(l *link) {
	r.mu.Lock()
	delete(r.links, l)
	r.mu.Unlock()
}
