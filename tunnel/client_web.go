package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/splice"
	"tunnels/internal/upstream"
)

// serveWeb serves an application that speaks HTTP, on all its targets.
func (c *Client) serveWeb(app net.Conn, req *eagersocks.Request) {
	stop := context.AfterFunc(c.draining, req.Drain) // may be called at any time, so nobody waits for it
	defer stop()
	err := req.ServeWeb(c.ctx, c.dialWeb)
	if errors.Is(err, eagersocks.ErrMistake) {
		c.rejected(cmp.Or(app.RemoteAddr().String(), "unknown"), err)
		return
	}
	if err != nil && c.ctx.Err() == nil {
		c.log.Debug("HTTP connection: %v", err)
	}
}

// dialWeb is a session for one target, answered or, where that may be, eager: then
// its first Write is what sends the request.
func (c *Client) dialWeb(ctx context.Context, target eagersocks.Address) (net.Conn, error) {
	req := &eagersocks.Request{Command: eagersocks.Connect, Target: target}
	line := c.openSock(target)
	if !c.eager.Eager(req) {
		far, err := c.request(req, false)
		if err != nil {
			c.unserved(line, err)
			return nil, serverError(err)
		}
		return newWebTarget(far, nil, line.opened(), nil), nil
	}
	head, err := req.AppendBinary(nil)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.dialTimeout())
		defer cancel()
		var far splice.Stream
		if far, err = c.open(ctx); err == nil {
			return newWebTarget(far, head, line.opened(), func(err error) { c.failed(target, err) }), nil
		}
	}
	c.unserved(line, err)
	return nil, serverError(err)
}

// webTarget is a session that carries HTTP to one target.
type webTarget struct {
	*watched
	head     []byte // of the session, goes with the first Write. Owned by who writes
	line     sock
	up, down atomic.Int64
	over     atomic.Bool           // the line was written
	err      atomic.Pointer[error] // why reading failed
}

// newWebTarget: failed may be nil.
func newWebTarget(far splice.Stream, head []byte, line sock, failed func(error)) *webTarget {
	t := &webTarget{head: head, line: line}
	t.watched = &watched{Stream: far, failed: func(err error) {
		if !errors.Is(err, net.ErrClosed) && failed != nil && !t.over.Load() { // or it was us who ended it
			failed(err)
		}
	}}
	return t
}

// Read implements net.Conn.
func (t *webTarget) Read(p []byte) (int, error) {
	n, err := t.watched.Read(p)
	t.down.Add(int64(n))
	t.note(err)
	if err != io.EOF && upstream.Elsewhere(err) {
		err = fmt.Errorf("%w: %w", eagersocks.ErrWay, err)
	}
	return n, err
}

// Borrow implements splice.Lender.
func (t *webTarget) Borrow() ([]byte, error) {
	b, err := t.watched.Borrow()
	t.down.Add(int64(len(b)))
	t.note(err)
	return b, err
}

// Deliver implements splice.Deliverer as far as the stream does.
func (t *webTarget) Deliver(take func([][]byte) int) error {
	return t.watched.Deliver(func(pieces [][]byte) int {
		n := take(pieces)
		t.down.Add(int64(n))
		return n
	})
}

// note keeps what ended the session, if it was not this end.
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
		n, err := t.watched.Write(p)
		t.up.Add(int64(n))
		return n, err
	}
	n, err := t.watched.Write(append(t.head, p...))
	n = max(0, n-len(t.head))
	t.head = nil
	t.up.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (t *webTarget) Close() error {
	err := t.watched.Close()
	t.closed(nil, false)
	return err
}

// Reset implements code.Resetter.
func (t *webTarget) Reset(c code.Code, text string) error {
	t.closed(&code.Error{Code: c, Text: text}, c == code.Cancelled)
	return t.watched.Reset(c, text)
}

// closed writes the line of the log, once.
func (t *webTarget) closed(err error, cancelled bool) {
	if t.over.Swap(true) {
		return
	}
	if far := t.err.Load(); far != nil {
		err, cancelled = *far, false
	}
	t.line.moved(t.up.Load(), t.down.Load()).closed(err, cancelled)
}
