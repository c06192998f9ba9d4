package entry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/httpdoor"
	"tunnels/internal/splice"
	"tunnels/internal/upstream"
)

// serveWeb serves an HTTP application's requests to all its targets.
func (e *Entry) serveWeb(app *httpdoor.Conn) {
	stop := context.AfterFunc(e.draining, app.Drain) // Drain may be called at any time, so there is no need to wait for it
	defer stop()
	err := app.Serve(e.ctx, e.dialWeb)
	switch {
	case errors.Is(err, eagersocks.ErrMistake):
		e.rejected(app.RemoteAddr().String(), err)
	case err != nil && e.ctx.Err() == nil:
		e.events.DoorFailed(app.RemoteAddr().String(), err)
	}
}

// dialWeb returns a session to one target. If the request may be eager, the first Write
// sends it.
func (e *Entry) dialWeb(ctx context.Context, target eagersocks.Address) (net.Conn, error) {
	req := &eagersocks.Request{Command: eagersocks.Connect, Target: target}
	r := e.accept(target.String())
	far, head, err := e.openWeb(ctx, req, r)
	if err != nil {
		e.unserved(r, err)
		return nil, serverError(err)
	}
	e.start(r)
	return &webTarget{Wrap: splice.Wrap{Stream: far}, e: e, r: r, eager: head != nil, target: target, head: head}, nil
}

// openWeb opens a session for req. If req is eager, head is the encoded request, which
// is sent with the first Write.
func (e *Entry) openWeb(ctx context.Context, req *eagersocks.Request, r *events.Request) (far splice.Stream, head []byte, err error) {
	if !e.eager.Eager(req) {
		far, err = e.request(req, r, false)
		return far, nil, err
	}
	if head, err = req.AppendBinary(nil); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	far, err = e.open(ctx, r)
	return far, head, err
}

// webTarget is a session that carries HTTP to one target. The HTTP door reads and writes
// it one exchange at a time, so webTarget counts bytes and detects failures itself, as
// splice.Pair does for other sessions.
type webTarget struct {
	splice.Wrap

	// Immutable after creation.
	e      *Entry
	r      *events.Request
	eager  bool
	target eagersocks.Address

	head []byte                // the request, sent with the first Write; owned by the goroutine that writes
	some atomic.Bool           // bytes have arrived, or reading failed
	over atomic.Bool           // the end has been reported
	err  atomic.Pointer[error] // why reading failed
}

var _ splice.Whole = (*webTarget)(nil)

// Read implements net.Conn.
func (t *webTarget) Read(p []byte) (int, error) {
	n, err := t.Wrap.Read(p)
	t.received(n, err)
	if err != io.EOF && upstream.Elsewhere(err) {
		err = fmt.Errorf("%w: %w", httpdoor.ErrWay, err)
	}
	return n, err
}

// Peek implements splice.Peeker if the session does.
func (t *webTarget) Peek() ([]byte, error) {
	b, err := t.Wrap.Peek()
	if !errors.Is(err, errors.ErrUnsupported) {
		t.received(len(b), err)
	}
	return b, err
}

// SetSink implements splice.SinkSetter if the session does.
func (t *webTarget) SetSink(take func([][]byte) int) error {
	return t.Wrap.SetSink(func(pieces [][]byte) int {
		n := take(pieces)
		t.received(n, nil)
		return n
	})
}

// received records that n bytes have arrived, or that reading failed. An eager request's
// first failure is recorded before the application can see it.
func (t *webTarget) received(n int, err error) {
	t.r.Down.Add(int64(n))
	switch {
	case n > 0 && !t.some.Swap(true):
		t.e.answeredFirst(t.r)
	case n == 0 && err != nil && !t.some.Swap(true) && err != io.EOF:
		if t.eager && !errors.Is(err, net.ErrClosed) && !t.over.Load() { // otherwise this end closed it
			t.e.failed(t.target, err)
		}
	}
	t.note(err)
}

// note records the error that ended the session, unless this end caused it.
func (t *webTarget) note(err error) {
	if err == nil || err == io.EOF {
		return
	}
	for _, ours := range []error{net.ErrClosed, os.ErrDeadlineExceeded, errors.ErrUnsupported} {
		if errors.Is(err, ours) {
			return
		}
	}
	t.err.CompareAndSwap(nil, &err)
}

// Write implements net.Conn.
func (t *webTarget) Write(p []byte) (int, error) {
	if t.head == nil {
		n, err := t.Wrap.Write(p)
		t.r.Up.Add(int64(n))
		return n, err
	}
	n, err := t.Wrap.Write(append(t.head, p...))
	n = max(0, n-len(t.head))
	t.head = nil
	t.r.Up.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (t *webTarget) Close() error {
	err := t.Wrap.Close()
	t.closed(nil, false)
	return err
}

// Reset implements code.Resetter.
func (t *webTarget) Reset(c code.Code, text string) error {
	t.closed(&code.Error{Code: c, Text: text}, c == code.Cancelled)
	return t.Wrap.Reset(c, text)
}

// closed reports the end of the request, once.
func (t *webTarget) closed(err error, cancelled bool) {
	if t.over.Swap(true) {
		return
	}
	if far := t.err.Load(); far != nil {
		err, cancelled = *far, false
	}
	t.e.events.RequestClosed(t.r, events.End{Err: err, Cancelled: cancelled})
}
