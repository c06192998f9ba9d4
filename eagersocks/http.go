package eagersocks

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/splice"
)

const (
	webIdleMax   = 2 * time.Minute // a connection is kept for that long without a request
	webRefusals  = 4               // wrong or missing passwords, one after the other, end it
	webBufferMax = 32 << 10        // of bodies, read at a time
)

var errNoWeb = errors.New("request is not one that ServeWeb could serve")

// webFront is what all connections that speak HTTP have in common. It is static but
// for the strangers and the pool, which have locks of their own.
type webFront struct {
	users       Authenticator // nil: nobody is asked
	pac         pacRules
	headTimeout time.Duration                  // for a head, from its first byte on
	rejected    func(remote string, err error) // told of wrong passwords; may be nil
	strangers   strangers
	buffers     sync.Pool // of *[webBufferMax]byte
}

func newWebFront(c *Config) *webFront {
	return &webFront{
		users:       c.Users,
		pac:         pacRules{direct: c.PACDirect, proxy: c.PACProxy},
		headTimeout: c.greetingTimeout(),
		rejected:    c.Rejected,
		strangers:   strangers{max: c.pendingMax()},
		buffers:     sync.Pool{New: func() any { return new([webBufferMax]byte) }},
	}
}

// web is one application's connection that speaks HTTP. Owned by the goroutine that
// serves it, but for what is said to be guarded.
type web struct {
	front  *webFront       // static
	conn   *appconn.Conn   // static
	answer *appconn.Answer // static; to the first request
	in     wire            // owned by exchange.send while there is an exchange
	first  *webRequest
	kept   kept

	wrongHeader string // the last one that was refused, and why; what was right is checked each time
	wrongErr    error
	known       bool // has had the right password, or needs none
	refusals    int  // requests without it, one after the other

	stranger *list.Element // guarded by strangers.mu; nil: it is none

	mu       sync.Mutex
	idle     bool     // guarded by mu; between two requests
	draining bool     // guarded by mu; no further requests
	over     bool     // guarded by mu; abort was called
	current  net.Conn // guarded by mu; the connection to a target that is in use, or nil
}

// Takes reports whether first may begin a request of HTTP.
func (f *webFront) Takes(first byte) bool {
	return 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z'
}

// Read takes the first request of a connection, of which first has been read
// already. A CONNECT is handed over like one of SOCKS, everything else for ServeWeb.
func (f *webFront) Read(c net.Conn, first []byte) (net.Conn, *Request, error) {
	w := &web{front: f, conn: appconn.New(c, nil), in: newWire(c, first), known: f.users == nil}
	r, err := readWebRequest(w.in)
	if err != nil {
		if e, ok := errors.AsType[*webError](err); ok {
			return nil, nil, appconn.TurnAway(c, string(refusedPage(e).appendTo(nil)), "HTTP request refused: "+e.text)
		}
		return nil, nil, fmt.Errorf("reading an HTTP request: %w", err)
	}
	if r.method == http.MethodConnect && w.authorised(r) == nil {
		w.conn.SetEarly(w.in.take())
		return w.conn, NewRequest(Connect, r.target, appconn.NewAnswer(w.conn, httpDialect{r.target})), nil
	}
	w.first, w.answer = r, appconn.NewAnswer(w.conn, httpDialect{})
	req := NewRequest(Web, Address{}, w.answer)
	req.web = w
	return w.conn, req, nil
}

// ErrWay marks an error of reading from a target that is none of the target's: the
// way to it was lost. A request that may be made twice then is, once, if there was no
// answer yet.
var ErrWay = errors.New("way to the target lost")

// Dial connects ServeWeb to a target. The stream's first Write, which may be one of
// no bytes, is the one to send a request of ours with. The stream should have
// CloseWrite, and can be aborted (code.Resetter) if its far end is to see that.
type Dial func(ctx context.Context, target Address) (net.Conn, error)

// ServeWeb serves a request whose Command is Web, and all that follow it on its
// connection, and ends the connection: pages of this port itself, requests to be
// forwarded, and CONNECT. It owns what dial, which is called for one target at a
// time, returns; its goroutines have ended when it returns. When ctx ends
// everything is aborted. While nothing has been sent to the application, an error
// becomes a page with its reason and the status that the error's code (code.Of)
// stands for, 502 if it has none; later, the connection is aborted. The error says
// why the connection did not end cleanly.
func (r *Request) ServeWeb(ctx context.Context, dial func(ctx context.Context, target Address) (net.Conn, error)) error {
	if r.web == nil || r.web.answer.Claim() != nil {
		return errNoWeb
	}
	w := r.web
	if !w.known {
		w.countStranger()
	}
	defer w.front.strangers.remove(w)
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

// Drain has ServeWeb end the connection as soon as it has answered what it has been
// asked. It may be called at any time; for other requests it does nothing.
func (r *Request) Drain() {
	if r.web == nil {
		return
	}
	w := r.web
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.idle {
		_ = w.conn.SetReadDeadline(time.Unix(1, 0)) // wakes next
	}
}

// abort ends the connection and what it has in use.
func (w *web) abort(why code.Code) {
	w.mu.Lock()
	w.over = true
	current := w.current
	w.mu.Unlock()
	splice.Abort(w.conn, why, "")
	if current != nil {
		splice.Abort(current, why, "")
	}
}

// use notes the connection to a target that an abort is to end, too; nil: none.
func (w *web) use(c net.Conn) {
	w.mu.Lock()
	w.current = c
	over := w.over
	w.mu.Unlock()
	if over && c != nil {
		splice.Abort(c, code.GoingAway, "")
	}
}

// serve answers requests until the connection ends.
func (w *web) serve(ctx context.Context, dial Dial) error {
	for {
		r, err := w.next()
		if err == nil {
			var more bool
			if more, err = w.handle(ctx, dial, r); err == nil && more {
				continue
			}
			if err == nil {
				appconn.HangUp(w.conn)
				return nil
			}
		}
		e, ok := errors.AsType[*webError](err)
		switch {
		case err == io.EOF: // it asks for no more, or was asked not to
			_ = w.conn.Close()
			return nil
		case ok:
			return appconn.TurnAway(w.conn, string(refusedPage(e).appendTo(nil)), "HTTP request refused: "+e.text)
		}
		why, _ := code.Of(err)
		splice.Abort(w.conn, why, "")
		return err
	}
}

// next waits for the next request; io.EOF: there is none.
func (w *web) next() (*webRequest, error) {
	if r := w.first; r != nil {
		w.first = nil
		return r, nil
	}
	idleMax := webIdleMax
	if !w.known {
		idleMax = w.front.headTimeout
	}
	w.mu.Lock()
	if w.draining {
		w.mu.Unlock()
		return nil, io.EOF
	}
	w.idle = true
	_ = w.conn.SetReadDeadline(time.Now().Add(idleMax))
	w.mu.Unlock()
	_, err := w.in.Peek(1)
	w.mu.Lock()
	w.idle = false
	w.mu.Unlock()
	if err != nil {
		return nil, io.EOF // whatever it is: nothing has been lost
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(w.front.headTimeout))
	r, err := readWebRequest(w.in)
	if err != nil {
		return nil, err
	}
	_ = w.conn.SetReadDeadline(time.Time{})
	return r, nil
}

// handle answers one request. It is false if no further one can be taken.
func (w *web) handle(ctx context.Context, dial Dial, r *webRequest) (more bool, err error) {
	if r.local {
		return w.say(r, w.front.localPage(w.conn.LocalAddr(), r))
	}
	if err := w.authorised(r); err != nil {
		if w.known { // until the users file changed
			w.known = false
			w.countStranger()
		}
		return w.say(r, w.refuseUser(err))
	}
	if !w.known {
		w.front.strangers.remove(w)
	}
	w.refusals, w.known = 0, true
	switch further := r.hops(); {
	case r.method == http.MethodConnect:
		return w.tunnel(ctx, dial, r)
	case !further && r.method == http.MethodOptions:
		return w.say(r, &page{status: http.StatusOK})
	case !further:
		return w.say(r, plainPage(http.StatusMethodNotAllowed, "TRACE is not answered here."))
	}
	return w.forward(ctx, dial, r)
}

// say answers r with a page. A body that has not been read ends the connection.
func (w *web) say(r *webRequest, p *page) (more bool, err error) {
	p.bare = r.method == http.MethodHead
	p.close = p.close || r.closes() || r.body() != nil || w.isDraining()
	_ = w.conn.SetWriteDeadline(time.Now().Add(appconn.AnswerTimeout))
	if _, err := w.conn.Write(p.appendTo(nil)); err != nil {
		return false, gone(err)
	}
	_ = w.conn.SetWriteDeadline(time.Time{})
	return !p.close, nil
}

// tunnel serves a CONNECT that was not the first request of its connection.
func (w *web) tunnel(ctx context.Context, dial Dial, r *webRequest) (more bool, err error) {
	c, err := dial(ctx, r.target)
	if err != nil {
		return w.sayFailed(ctx, r, err, true)
	}
	w.use(c)
	defer w.use(nil)
	if _, err := w.conn.Write(httpDialect{}.Accepted(netip.AddrPort{})); err != nil {
		splice.Abort(c, code.Cancelled, "")
		return false, gone(err)
	}
	if _, err := c.Write(w.in.take()); err != nil {
		splice.Abort(c, code.Cancelled, "")
		return false, err
	}
	return false, w.join(c)
}

// join carries bytes both ways until both have ended, and closes both.
func (w *web) join(c net.Conn) error {
	far, ok := c.(splice.Stream)
	if !ok {
		far = appconn.New(c, nil)
	}
	if r := splice.Both(w.conn, far, code.Cancelled, code.General); r.Err != nil {
		return r.Err
	}
	return nil
}

func (w *web) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// sayFailed answers r with the page for err, unless ctx has ended: then err is most
// likely a consequence of that, and the connection is to be aborted.
func (w *web) sayFailed(ctx context.Context, r *webRequest, err error, last bool) (more bool, _ error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	p := w.failed(r, err)
	p.close = last
	return w.say(r, p)
}

// failed is the page for an error of a target or on the way there.
func (w *web) failed(r *webRequest, err error) *page {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return failedPage(r.target, e.Code, e.Error())
	}
	why := code.General
	if timedOut(err) {
		why = code.Timeout
	}
	return failedPage(r.target, why, err.Error())
}
