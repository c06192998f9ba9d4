package httpdoor

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
	"tunnels/internal/splice"
)

const (
	requestIdleMax = 2 * time.Minute // how long a connection may be idle between requests
	refusalsMax    = 4               // consecutive wrong or missing passwords after which the connection is closed
	bufferMax      = 32 << 10        // maximum bytes of a body per read
)

var errServed = errors.New("connection has already been served, or its first request has already been answered")

// Conn is an application's HTTP connection. Its fields are owned by the goroutine that
// serves it, unless their comment says otherwise.
type Conn struct {
	*appconn.Conn // immutable after creation

	front  *Door           // immutable after creation
	answer *appconn.Answer // immutable after creation; responds to the first request
	in     wire            // owned by exchange.send during an exchange
	first  *request
	kept   kept

	wrongHeader string // the last rejected header and the reason; correct ones are not cached
	wrongErr    error
	known       bool // has sent a correct password, or none is required
	refusals    int  // consecutive requests without a correct password

	listed *list.Element // guarded by unauthenticated.mu; nil once removed from the list

	mu       sync.Mutex
	idle     bool     // guarded by mu; between requests
	draining bool     // guarded by mu; no further requests are accepted
	over     bool     // guarded by mu; abort was called
	current  net.Conn // guarded by mu; the target connection in use, or nil
}

// ErrWay marks an error from reading a target's response that was caused by losing the
// path to the target, rather than by the target itself. If no response had begun, a
// request that is safe to repeat is then sent once more.
var ErrWay = errors.New("path to the target lost")

// Dial connects to a target for Serve. The stream may delay the tunnel's own request
// and send it together with the first Write, which may be empty. The stream should have
// a CloseWrite method, and should implement code.Resetter if resets are to reach the
// target.
type Dial func(ctx context.Context, target socksaddr.Address) (net.Conn, error)

// Serve serves every request on the connection, including the first, and then closes
// the connection. A request asks for one of this port's own pages, or is forwarded, or
// is a CONNECT. Serve dials one target at a time and owns the streams returned by dial;
// when Serve returns, its goroutines have ended. When ctx is done, everything is
// aborted. Until a response has begun, an error is reported to the application as a
// page with the reason and the status for its code (code.Of), or 502 if it has none;
// after that, the connection is reset. The returned error says why the connection did
// not end cleanly.
func (w *Conn) Serve(ctx context.Context, dial Dial) error {
	if w.answer.Claim() != nil {
		return errServed
	}
	if !w.known {
		w.countUnauthenticated()
	}
	defer w.front.unauthenticated.remove(w)
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		w.abort(code.GoingAway)
	})
	err := w.serve(ctx, dial)
	if !stop() {
		<-aborted
	}
	w.kept.close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Drain makes Serve close the connection as soon as it has responded to the requests it
// has read. It may be called at any time.
func (w *Conn) Drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.idle {
		_ = w.SetReadDeadline(time.Unix(1, 0)) // wakes next
	}
}

// abort aborts the connection and the target connection in use.
func (w *Conn) abort(why code.Code) {
	w.mu.Lock()
	w.over = true
	current := w.current
	w.mu.Unlock()
	splice.Abort(w.Conn, why, "")
	if current != nil {
		splice.Abort(current, why, "")
	}
}

// use sets the target connection to be aborted by abort, or nil for none.
func (w *Conn) use(c net.Conn) {
	w.mu.Lock()
	w.current = c
	over := w.over
	w.mu.Unlock()
	if over && c != nil {
		splice.Abort(c, code.GoingAway, "")
	}
}

// serve handles requests until the connection ends.
func (w *Conn) serve(ctx context.Context, dial Dial) error {
	for {
		r, err := w.next()
		if err == nil {
			var more bool
			if more, err = w.handle(ctx, dial, r); err == nil && more {
				continue
			}
			if err == nil {
				appconn.HangUp(w.Conn)
				return nil
			}
		}
		e, ok := errors.AsType[*requestError](err)
		switch {
		case err == io.EOF: // no more requests, or draining
			_ = w.Conn.Close()
			return nil
		case ok:
			return appconn.TurnAway(w.Conn, string(refusedPage(e).appendTo(nil)), "HTTP request refused: "+e.text)
		}
		why, _ := code.Of(err)
		splice.Abort(w.Conn, why, "")
		return err
	}
}

// next waits for the next request. It returns io.EOF if there are no more.
func (w *Conn) next() (*request, error) {
	if r := w.first; r != nil {
		w.first = nil
		return r, nil
	}
	idleMax := requestIdleMax
	if !w.known {
		idleMax = w.front.headTimeout
	}
	w.mu.Lock()
	if w.draining {
		w.mu.Unlock()
		return nil, io.EOF
	}
	w.idle = true
	_ = w.Conn.SetReadDeadline(time.Now().Add(idleMax))
	w.mu.Unlock()
	_, err := w.in.Peek(1)
	w.mu.Lock()
	w.idle = false
	w.mu.Unlock()
	if err != nil {
		return nil, io.EOF // no request is lost, whatever the error
	}
	_ = w.Conn.SetReadDeadline(time.Now().Add(w.front.headTimeout))
	r, err := readRequest(w.in)
	if err != nil {
		return nil, err
	}
	_ = w.Conn.SetReadDeadline(time.Time{})
	return r, nil
}

// handle handles one request, and reports whether the connection can be used for
// another.
func (w *Conn) handle(ctx context.Context, dial Dial, r *request) (more bool, err error) {
	if r.local {
		return w.say(r, w.front.localPage(w.Conn.LocalAddr(), r))
	}
	if err := w.authorised(r); err != nil {
		if w.known { // the users file has changed
			w.known = false
			w.countUnauthenticated()
		}
		return w.say(r, w.refuseUser(err))
	}
	if !w.known {
		w.front.unauthenticated.remove(w)
	}
	w.refusals, w.known = 0, true
	switch further := r.hops(); {
	case r.method == http.MethodConnect:
		return w.tunnel(ctx, dial, r)
	case !further && r.method == http.MethodOptions:
		return w.say(r, &page{status: http.StatusOK})
	case !further:
		return w.say(r, plainPage(http.StatusMethodNotAllowed, "TRACE is not supported here."))
	}
	return w.forward(ctx, dial, r)
}

// say responds to r with a page. If r has a body, the connection is then closed,
// because the body has not been read.
func (w *Conn) say(r *request, p *page) (more bool, err error) {
	p.bare = r.method == http.MethodHead
	p.close = p.close || r.closes() || r.body() != nil || w.isDraining()
	_ = w.Conn.SetWriteDeadline(time.Now().Add(appconn.AnswerTimeout))
	if _, err := w.Conn.Write(p.appendTo(nil)); err != nil {
		return false, gone(err)
	}
	_ = w.Conn.SetWriteDeadline(time.Time{})
	return !p.close, nil
}

// tunnel serves a CONNECT that is not the first request on its connection.
func (w *Conn) tunnel(ctx context.Context, dial Dial, r *request) (more bool, err error) {
	c, err := dial(ctx, r.target)
	if err != nil {
		return w.sayFailed(ctx, r, err, true)
	}
	w.use(c)
	defer w.use(nil)
	if _, err := w.Conn.Write(dialect{}.Accepted(netip.AddrPort{})); err != nil {
		splice.Abort(c, code.Cancelled, "")
		return false, gone(err)
	}
	if _, err := c.Write(w.in.take()); err != nil {
		splice.Abort(c, code.Cancelled, "")
		return false, err
	}
	return false, w.join(c)
}

// join copies data in both directions until both have ended, and closes both
// connections.
func (w *Conn) join(c net.Conn) error {
	far, ok := c.(splice.Stream)
	if !ok {
		far = appconn.New(c, nil)
	}
	if r := splice.Both(w.Conn, far, code.Cancelled, code.General); r.Err != nil {
		return r.Err
	}
	return nil
}

func (w *Conn) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// sayFailed responds to r with the page for err. If ctx is done, that is most likely
// the cause of err, and sayFailed returns ctx's cause instead, so that the connection
// is aborted.
func (w *Conn) sayFailed(ctx context.Context, r *request, err error, last bool) (more bool, _ error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	p := w.failed(r, err)
	p.close = last
	return w.say(r, p)
}

// failed returns the page for an error from a target or from the path to it.
func (w *Conn) failed(r *request, err error) *page {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return failedPage(r.target, e.Code, e.Error())
	}
	why := code.General
	if timedOut(err) {
		why = code.Timeout
	}
	return failedPage(r.target, why, err.Error())
}
