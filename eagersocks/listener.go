package eagersocks

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/splice"
)

// Acceptor is what requests come from: a net.Listener or a remux listener, for
// example.
type Acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// Listener hands over connections together with their requests. Its methods may
// be called from any goroutine at any time. Those this package makes also have
// Addr() net.Addr if their Acceptor has it.
type Listener interface {
	// Accept waits for the next connection whose request is complete. Nothing
	// has been answered: the caller owes one Reply or Refuse. A connection
	// from a front door has CloseWrite, and can be aborted with Reset. The
	// error is net.ErrClosed after Close.
	Accept() (net.Conn, *Request, error)
	// Close ends the accepting and all connections whose request is not
	// complete, and waits until they are gone. Those that Accept returned
	// stay as they are.
	Close() error
}

// ListenOption changes what Listen and ListenSocks begin with.
type ListenOption func(*listening)

// listening is how a listener begins.
type listening struct {
	config *Config
	listen func(ctx context.Context, network, address string) (Acceptor, error)
}

// WithConfig has c used in place of the defaults.
func WithConfig(c *Config) ListenOption { return func(l *listening) { l.config = c } }

// WithListen has connections accepted by what listen makes, which may know any network:
// "tls" or "remux", for example.
func WithListen(listen func(ctx context.Context, network, address string) (Acceptor, error)) ListenOption {
	return func(l *listening) { l.listen = listen }
}

func (l *listening) on(network, address string, options []ListenOption) (Acceptor, error) {
	l.config, l.listen = new(Config), listen
	for _, o := range options {
		o(l)
	}
	return l.listen(context.Background(), network, address)
}

// Listen takes requests at address. The network is a stream network of package net, or
// one that WithListen knows.
func Listen(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for requests: %w", err)
	}
	return l.config.NewListener(ln), nil
}

// ListenSocks takes applications at address, as NewSocksListener does. The network is
// one of Listen's.
func ListenSocks(network, address string, options ...ListenOption) (Listener, error) {
	var l listening
	ln, err := l.on(network, address, options)
	if err != nil {
		return nil, fmt.Errorf("listening for applications: %w", err)
	}
	return l.config.NewSocksListener(ln), nil
}

func listen(ctx context.Context, network, address string) (Acceptor, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("network %q is not one of tcp, tcp4, tcp6, unix: eagersocks.WithListen says who knows it", network)
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default; socket options do not work with it
	return lc.Listen(ctx, network, address)
}

// ErrBug marks what Config.Rejected should be told loudly: a defect of ours.
var ErrBug = errors.New("BUG")

// ErrMistake marks what Config.Rejected, or ServeWeb's caller, is told of a request
// that can only be a mistake in how an application is set up, such as TLS spoken to a
// front door.
var ErrMistake = appconn.ErrMistake

var errCrowded = errors.New("pushed out by newer connections before its request was taken")

// reader reads one request from a connection whose deadline is set. When it fails
// it has said to the peer what there was to say; the connection is closed then.
type reader func(net.Conn) (net.Conn, *Request, error)

// listener reads requests, each in a goroutine of its own, and hands them over.
type listener struct {
	// Static after construction.
	from       Acceptor
	read       reader
	timeout    time.Duration
	pendingMax int
	rejected   func(string, error)
	ready      chan accepted // unbuffered: what waits there is still pending
	done       chan struct{} // closed by Close

	wg sync.WaitGroup // run, and a serve for each pending connection

	mu       sync.Mutex
	pending  list.List      // guarded by mu; of *pending, oldest first
	bySource map[string]int // guarded by mu; how many of pending each source has
	closed   bool           // guarded by mu
}

// pending is a connection that Accept has not returned. Who takes it off the list
// owns its connection.
type pending struct {
	conn    net.Conn
	source  string        // static
	dropped chan struct{} // closed after why was set
	why     error         // static after dropped is closed
	elem    *list.Element // guarded by listener.mu; nil: not on the list any more
}

// accepted is a complete request on its way to Accept.
type accepted struct {
	*pending
	conn net.Conn // what to hand over; may wrap pending.conn
	req  *Request
}

func newListener(from Acceptor, read reader, timeout time.Duration, c *Config) *listener {
	l := &listener{
		from:       from,
		read:       read,
		timeout:    timeout,
		pendingMax: c.pendingMax(),
		rejected:   c.Rejected,
		ready:      make(chan accepted),
		done:       make(chan struct{}),
		bySource:   map[string]int{},
	}
	l.wg.Go(l.run)
	return l
}

// Accept implements Listener.
func (l *listener) Accept() (net.Conn, *Request, error) {
	for {
		select {
		case <-l.done:
			return nil, nil, net.ErrClosed
		default:
		}
		select {
		case <-l.done:
		case a := <-l.ready:
			if l.take(a.pending) {
				return a.conn, a.req, nil
			}
			<-a.dropped // at the last moment
			l.reject(appconn.Remote(a.pending.conn), a.why)
		}
	}
}

// Close implements Listener.
func (l *listener) Close() error {
	err := l.end()
	l.wg.Wait()
	return err
}

// Addr is where the Acceptor listens, if it says so; else nil.
func (l *listener) Addr() net.Addr {
	if a, ok := l.from.(interface{ Addr() net.Addr }); ok {
		return a.Addr()
	}
	return nil
}

// end closes everything and waits for nothing.
func (l *listener) end() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	var all []*pending
	for e := l.pending.Front(); e != nil; e = l.pending.Front() {
		all = append(all, l.removeLocked(e))
	}
	l.mu.Unlock()
	close(l.done)
	for _, p := range all {
		p.drop(net.ErrClosed, code.GoingAway)
	}
	return l.from.Close()
}

// run accepts until the Acceptor is closed.
func (l *listener) run() {
	var retry netx.Retry
	report := func(err error, _ bool) { l.reject("", fmt.Errorf("accepting: %w", err)) }
	for {
		c, err := retry.Accept(l.from.Accept, l.done, report)
		if err != nil {
			_ = l.end() // its error is that of closing twice
			return
		}
		l.admit(c)
	}
}

// admit puts c on the list and starts reading its request.
func (l *listener) admit(c net.Conn) {
	p := &pending{conn: c, source: clientOf(c), dropped: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		splice.Abort(c, code.GoingAway, "")
		return
	}
	var oldest *pending
	if l.pending.Len() >= l.pendingMax {
		oldest = l.removeLocked(l.oldestLocked(p.source))
	}
	p.elem = l.pending.PushBack(p)
	l.bySource[p.source]++
	l.mu.Unlock()
	if oldest != nil {
		oldest.drop(errCrowded, code.Overload)
	}
	l.wg.Go(func() { l.serve(p) })
}

// serve reads the request of p and offers it to Accept.
func (l *listener) serve(p *pending) {
	_ = p.conn.SetDeadline(time.Now().Add(l.timeout))
	conn, req, err := l.readSafely(p.conn)
	if err != nil {
		if !l.take(p) { // dropped meanwhile: that is the reason
			<-p.dropped
			err = p.why
		}
		_ = p.conn.Close()
		l.reject(appconn.Remote(p.conn), err)
		return
	}
	_ = p.conn.SetDeadline(time.Time{})
	select {
	case l.ready <- accepted{p, conn, req}:
	case <-p.dropped:
		l.reject(appconn.Remote(p.conn), p.why)
	}
}

// readSafely is read, for which a panic is an error.
func (l *listener) readSafely(c net.Conn) (conn net.Conn, req *Request, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic in reading a request: %v\n%s", ErrBug, v, debug.Stack())
		}
	}()
	return l.read(c)
}

// oldestLocked chooses the connection that must give way to a new one from source:
// the oldest of the sources with the most, so that one takes no other's place.
func (l *listener) oldestLocked(source string) *list.Element {
	most := 0
	for _, n := range l.bySource {
		most = max(most, n)
	}
	mine := l.bySource[source] == most // then no other has more
	for e := l.pending.Front(); ; e = e.Next() {
		of := e.Value.(*pending).source
		if mine && of == source || !mine && l.bySource[of] == most {
			return e
		}
	}
}

// take takes p off the list; false: another has.
func (l *listener) take(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.elem == nil {
		return false
	}
	l.removeLocked(p.elem)
	return true
}

func (l *listener) removeLocked(e *list.Element) *pending {
	p := l.pending.Remove(e).(*pending)
	p.elem = nil
	if l.bySource[p.source]--; l.bySource[p.source] == 0 {
		delete(l.bySource, p.source)
	}
	return p
}

// drop ends p, which has been taken off the list.
func (p *pending) drop(why error, c code.Code) {
	p.why = why
	close(p.dropped)
	splice.Abort(p.conn, c, "")
}

func (l *listener) reject(remote string, err error) {
	if l.rejected != nil {
		l.rejected(remote, err)
	}
}

// clientOf is who counts as one when there is little room: the name in the peer's
// certificate if there is one, else the host it comes from.
func clientOf(c net.Conn) string {
	lower := c
	if s, ok := c.(interface{ Lower() net.Conn }); ok {
		lower = s.Lower()
	}
	if n, ok := lower.(interface{ PeerName() string }); ok && n.PeerName() != "" {
		return n.PeerName()
	}
	host, _, _ := net.SplitHostPort(appconn.Remote(c))
	return host
}
