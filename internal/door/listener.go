package door

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/netx"
)

// Acceptor is a source of connections.
type Acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// ErrBug marks a rejection caused by a defect in this program.
var ErrBug = errors.New("BUG")

// ErrCrowded is the rejection of a connection that was dropped to make room for newer
// ones.
var ErrCrowded = errors.New("dropped to make room for newer connections before its request was read")

// Config limits connections whose request is incomplete.
type Config struct {
	Timeout time.Duration // how long a request may take; 0 means appconn.GreetingTimeout
	Max     int           // maximum concurrent connections; at the limit, a new one evicts an old one; 0 means appconn.PendingMax
	// Rejected is called for each connection that ended before its request was complete.
	// It is also called, with an empty remote, if accepting fails; accepting is then
	// retried. It may be called from several goroutines at once and must not close the
	// listener. It may be nil.
	Rejected func(remote string, err error)
}

// Listener reads requests, each in its own goroutine, and hands them over. Its methods
// may be called from any goroutine at any time.
type Listener[R any] struct {
	// Immutable after creation.
	from     Acceptor
	read     Reader[R]
	timeout  time.Duration
	max      int
	rejected func(string, error)
	ready    chan accepted[R] // unbuffered: a request waiting here is still pending
	done     chan struct{}    // closed by Close

	wg sync.WaitGroup // run, and a serve for each pending connection

	mu       sync.Mutex
	pending  list.List      // guarded by mu; *pending elements, oldest first
	bySource map[string]int // guarded by mu; number of pending connections per source
	closed   bool           // guarded by mu
}

// accepted is a complete request on its way to Accept.
type accepted[R any] struct {
	*pending
	stream net.Conn // stream to hand over; may wrap pending.conn
	req    R
}

// Listen returns a Listener that calls read on each connection that the Acceptor from
// returns. Closing it closes from.
func Listen[R any](from Acceptor, read Reader[R], c Config) *Listener[R] {
	l := &Listener[R]{
		from:     from,
		read:     read,
		timeout:  cmp.Or(c.Timeout, appconn.GreetingTimeout),
		max:      max(1, cmp.Or(c.Max, appconn.PendingMax)),
		rejected: c.Rejected,
		ready:    make(chan accepted[R]),
		done:     make(chan struct{}),
		bySource: map[string]int{},
	}
	l.wg.Go(l.run)
	return l
}

// Accept waits for the next connection with a complete request. The error is
// net.ErrClosed after Close.
func (l *Listener[R]) Accept() (stream net.Conn, req R, err error) {
	for {
		select {
		case <-l.done:
			return nil, req, net.ErrClosed
		default:
		}
		select {
		case <-l.done:
		case a := <-l.ready:
			if l.take(a.pending) {
				return a.stream, a.req, nil
			}
			<-a.dropped // dropped at the last moment
			l.reject(appconn.Remote(a.pending.conn), a.why)
		}
	}
}

// Close stops accepting, closes all connections whose request is incomplete, and waits
// until they are gone. Connections already returned by Accept are not affected.
func (l *Listener[R]) Close() error {
	err := l.end()
	l.wg.Wait()
	return err
}

// Addr returns the Acceptor's address, or nil if it has no Addr.
func (l *Listener[R]) Addr() net.Addr {
	if a, ok := l.from.(interface{ Addr() net.Addr }); ok {
		return a.Addr()
	}
	return nil
}

// end does the work of Close without waiting.
func (l *Listener[R]) end() error {
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
func (l *Listener[R]) run() {
	var retry netx.Retry
	report := func(err error, _ bool) { l.reject("", fmt.Errorf("accepting: %w", err)) }
	for {
		c, err := retry.Accept(l.from.Accept, l.done, report)
		if err != nil {
			_ = l.end() // any error just means it was closed twice
			return
		}
		l.admit(c)
	}
}

// serve reads p's request and offers it to Accept.
func (l *Listener[R]) serve(p *pending) {
	_ = p.conn.SetDeadline(time.Now().Add(l.timeout))
	stream, req, err := l.readSafely(p.conn)
	if err != nil {
		if !l.take(p) { // dropped meanwhile, so report that reason instead
			<-p.dropped
			err = p.why
		}
		_ = p.conn.Close()
		l.reject(appconn.Remote(p.conn), err)
		return
	}
	_ = p.conn.SetDeadline(time.Time{})
	select {
	case l.ready <- accepted[R]{p, stream, req}:
	case <-p.dropped:
		l.reject(appconn.Remote(p.conn), p.why)
	}
}

// readSafely calls read and turns a panic into an error.
func (l *Listener[R]) readSafely(c net.Conn) (stream net.Conn, req R, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic while reading a request: %v\n%s", ErrBug, v, debug.Stack())
		}
	}()
	return l.read(c)
}

func (l *Listener[R]) reject(remote string, err error) {
	if l.rejected != nil {
		l.rejected(remote, err)
	}
}
