package tls

import (
	"container/list"
	"context"
	ctls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// listener runs the handshakes of one inner listener.
//
// The number of unfinished handshakes is limited. At the limit, a new handshake
// replaces the oldest one, preferably one whose client has sent nothing. If new
// handshakes waited instead, a few hundred silent connections could block everyone for
// the whole handshake timeout. A client that completes its handshake within a few round
// trips is never the oldest for long, and silent connections from its own address do
// not replace it.
//
// A conn holds a slot from when the inner listener accepts it until Accept returns it,
// so if Accept is not called, new connections wait in the kernel.
type listener struct {
	inner net.Listener
	srv   *Server
	max   int           // unfinished handshakes
	slots chan struct{} // 2*max slots, so that finished conns can wait for Accept
	ready chan *Conn    // has room for all slots, so sending never blocks
	done  chan struct{} // closed by Close
	ended chan struct{} // closed when the accept loop has returned
	err   error         // why it returned; written before ended is closed
	once  sync.Once
	wg    sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	closed   bool
	pending  list.List      // of *attempt, oldest first
	bySource map[string]int // number of pending attempts by source
}

// attempt is one unfinished handshake.
type attempt struct {
	low     *lower
	source  string // immutable
	dropped bool   // dropped to make room for a newer one. Guarded by listener.mu
}

// Listen listens on the given address and returns a listener like that of Listener.
// Network "tls" means TLS over "tcp"; any other network is the one beneath TLS.
func (s *Server) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	inner, err := new(net.ListenConfig).Listen(ctx, lowerNetwork(network), address)
	if err != nil {
		return nil, err
	}
	return s.Listener(inner), nil
}

// lowerNetwork returns the network beneath TLS.
func lowerNetwork(network string) string {
	if network == "tls" {
		return "tcp"
	}
	return network
}

// Listener returns a listener whose Accept returns conns (*Conn) that have completed
// their handshake. A refused client is reported to Hooks.Rejected and never stops the
// listener. Close closes inner, aborts all unfinished handshakes and waits for them;
// conns that Accept has returned stay open.
func (s *Server) Listener(inner net.Listener) net.Listener {
	n := s.cfg.handshakeMax()
	l := &listener{
		inner: inner,
		srv:   s,
		max:   n,
		slots: make(chan struct{}, 2*n),
		ready: make(chan *Conn, 2*n),
		done:  make(chan struct{}),
		ended: make(chan struct{}),

		bySource: map[string]int{},
	}
	l.wg.Go(l.acceptLoop)
	return l
}

// Accept waits for the next client that completes its handshake.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closedError()
	default:
	}
	select {
	case c := <-l.ready:
		<-l.slots
		return c, nil
	case <-l.done:
		return nil, l.closedError()
	case <-l.ended:
		return nil, l.err
	}
}

func (l *listener) closedError() error {
	return &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
}

// Addr returns the address of the inner listener.
func (l *listener) Addr() net.Addr { return l.inner.Addr() }

// Close closes the listener; see Server.Listener.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.done)
		err = l.inner.Close()
		l.mu.Lock()
		l.closed = true
		for e := l.pending.Front(); e != nil; e = e.Next() {
			_ = e.Value.(*attempt).low.Conn.Close() // makes its handshake fail
		}
		l.mu.Unlock()
		l.wg.Wait()
		for {
			select {
			case c := <-l.ready:
				_ = c.Abort() // never returned by Accept
			default:
				return
			}
		}
	})
	return err
}

func (l *listener) acceptLoop() {
	defer close(l.ended)
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			l.err = net.ErrClosed
			return
		}
		raw, err := l.inner.Accept()
		if err == nil {
			pause = shortest
			l.begin(raw)
			continue
		}
		<-l.slots
		if !isTemporary(err) {
			l.err = err
			return
		}
		if pause == shortest {
			l.srv.cfg.Hooks.rejected("", fmt.Errorf("accept on %v, retrying: %w", l.Addr(), err))
		}
		select {
		case <-time.After(pause):
		case <-l.done:
		}
		pause = min(2*pause, longest)
	}
}

// isTemporary reports whether the error is temporary, for example because the process
// has run out of file descriptors.
func isTemporary(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	_, system := errors.AsType[syscall.Errno](err)
	timeout, ok := errors.AsType[net.Error](err)
	return system || ok && timeout.Timeout()
}

// begin starts a handshake. If there are too many, it drops an older one.
func (l *listener) begin(raw net.Conn) {
	a := &attempt{low: &lower{Conn: raw}}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = raw.Close() // never used
		<-l.slots
		return
	}
	a.source = sourceOf(raw)
	if l.pending.Len() >= l.max {
		oldest := l.oldestLocked(a.source)
		l.forgetLocked(oldest)
		oldest.Value.(*attempt).dropped = true
		_ = oldest.Value.(*attempt).low.Conn.Close() // makes its handshake fail
	}
	e := l.pending.PushBack(a)
	l.bySource[a.source]++
	l.wg.Go(func() { l.serve(a, e) })
}

// oldestLocked chooses the handshake to drop in favor of a new one from source. It
// considers only the sources with the most handshakes, so that no source can displace
// the others, and picks the oldest whose client has sent nothing or, if all have sent
// something, the oldest.
func (l *listener) oldestLocked(source string) *list.Element {
	most := 0
	for _, n := range l.bySource {
		most = max(most, n)
	}
	mine := l.bySource[source] == most // then no source has more
	var oldest *list.Element
	for e := l.pending.Front(); e != nil; e = e.Next() {
		a := e.Value.(*attempt)
		if candidate := mine && a.source == source || !mine && l.bySource[a.source] == most; !candidate {
			continue
		}
		if !a.low.heard.Load() {
			return e
		}
		if oldest == nil {
			oldest = e
		}
	}
	return oldest
}

func (l *listener) forgetLocked(e *list.Element) {
	a := l.pending.Remove(e).(*attempt)
	if l.bySource[a.source]--; l.bySource[a.source] == 0 {
		delete(l.bySource, a.source)
	}
}

// sourceOf returns a connection's remote IP address or, for IPv6, its /64 prefix. All
// connections on a UNIX socket have the same source.
func sourceOf(raw net.Conn) string {
	remote := raw.RemoteAddr()
	if remote == nil {
		return ""
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return ""
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		return p.String()
	}
	return addr.String()
}

// serve runs one handshake to completion.
func (l *listener) serve(a *attempt, e *list.Element) {
	conn, err := l.handshake(a)
	if err == nil {
		if l.finish(a, e) {
			l.ready <- conn
			return
		}
		err = errors.New("closed while its handshake was finishing")
		_ = conn.Abort() // not handed to a caller
	}
	l.reject(a, err)
	l.finish(a, e)
	_ = a.low.Conn.Close() // the reason has been reported
	<-l.slots
}

// finish removes an attempt from pending and reports whether its conn may be used: the
// attempt was not dropped and the listener is open.
func (l *listener) finish(a *attempt, e *list.Element) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.dropped {
		l.forgetLocked(e)
	}
	return !a.dropped && !l.closed
}

func (l *listener) handshake(a *attempt) (*Conn, error) {
	raw := a.low.Conn
	if err := raw.SetDeadline(time.Now().Add(l.srv.cfg.handshakeTimeout())); err != nil {
		return nil, err
	}
	tc := ctls.Server(a.low, l.srv.base)
	if err := tc.Handshake(); err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return l.srv.admit(tc, a.low), nil
}

// reject reports why a handshake failed and gives the client time to read the alert.
func (l *listener) reject(a *attempt, err error) {
	l.mu.Lock()
	dropped, closed := a.dropped, l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return
	case dropped:
		err = fmt.Errorf("dropped to make room for a newer one: %d handshakes were unfinished", l.max)
	default:
		err = l.srv.explain(err, a.low)
	}
	l.srv.cfg.Hooks.rejected(a.low.RemoteAddr().String(), err)
	if _, ours := errors.AsType[*CertificateError](err); ours && !dropped {
		linger(a.low.Conn)
	}
}

// linger waits until the client has read the reason for the refusal. In TLS 1.3 the
// client may already have written data, and closing a socket with unread data resets
// the connection. The client's writes would then fail before its read does, some
// systems would discard received data, and an alert lost on the network would not be
// retransmitted.
func linger(raw net.Conn) {
	const longest, most = 2 * time.Second, 256 << 10
	half, ok := raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || raw.SetReadDeadline(time.Now().Add(longest)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, raw, most) // the outcome does not matter
}
