package httpdoor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/http1"
)

const (
	lastPieceMax = time.Second      // how long a target that has already responded may take to read the end of the request
	nextPieceMax = 30 * time.Second // how long it may take to read an earlier piece
)

// exchange is one request to a target, and its response.
type exchange struct {
	// Immutable after creation.
	w *Conn
	r *request
	t *targetConn

	// Owned by the goroutine that calls answer and deliver.
	invited    bool // a 100 (Continue) was forwarded to the application
	oddInterim bool // an odd interim response was forwarded, which the application may have parsed differently

	begun   atomic.Bool   // part of the body was read
	taken   atomic.Bool   // the whole body was read, so another request can follow
	moved   atomic.Int64  // number of pieces of the body written to the target
	written chan struct{} // closed once send writes no more of the request
	whole   bool          // set before written is closed: the whole request was sent

	sent chan struct{} // closed when send returns
	half bool          // set before sent is closed: the application closed its direction
	gone error         // set before sent is closed: the application failed, or its request is malformed
}

// forward sends r to its target and forwards the response.
func (w *Conn) forward(ctx context.Context, dial Dial, r *request) (more bool, err error) {
	g, err := w.gather(r)
	if err != nil {
		return false, err
	}
	defer w.use(nil)
	for fresh := false; ; fresh = true {
		t, err := w.open(ctx, dial, r, fresh)
		if err != nil {
			return w.sayFailed(ctx, r, err, false)
		}
		x := &exchange{w: w, r: r, t: t, written: make(chan struct{}), sent: make(chan struct{})}
		x.taken.Store(g.end)
		go x.send(g)
		resp, err := x.answer()
		if err == nil && x.refusesExpect(resp) {
			again, err := x.dropExpect()
			if err != nil {
				return false, err
			}
			if again {
				continue
			}
		}
		if err == nil {
			return x.deliver(resp)
		}
		x.stop()
		if ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); ended {
			_ = t.Close()
			err = &code.Error{Code: code.General, Text: "it closed the connection before sending a complete response"}
		} else {
			t.abort()
		}
		switch {
		case x.gone != nil:
			return false, x.gone
		case isGone(err):
			return false, err
		case t.silent && r.repeatable() && (t.used || !fresh && errors.Is(err, ErrWay)):
			continue // the target was just closing it, or the path was lost
		}
		return w.sayFailed(ctx, r, err, false)
	}
}

// send sends the request and then watches the application. It owns reading from the
// application.
func (x *exchange) send(g gathered) {
	defer close(x.sent)
	appErr, err := x.sendAll(g)
	x.whole = appErr == nil && err == nil
	close(x.written)
	switch {
	case appErr != nil && !timedOut(appErr):
		x.gone = appErr
		x.t.abort()
	case x.whole:
		x.watch()
	}
	// Ignore a failed write to the target: its response may give the reason.
}

// sendAll sends the request. appErr is an error from the application, and err is one
// from the target.
func (x *exchange) sendAll(g gathered) (appErr, err error) {
	b := x.r.appendHead(nil)
	if len(g.body) > 0 {
		b = x.appendPiece(b, g.body)
	}
	if g.end {
		_, err = x.t.Write(x.appendEnd(b))
		return nil, err
	}
	if _, err = x.t.Write(b); err != nil {
		return nil, err
	}
	buf := x.w.front.buffers.Get().(*[bufferMax]byte)
	defer x.w.front.buffers.Put(buf)
	for body := x.r.body(); ; {
		n, rerr := readReady(body, buf[:])
		b = b[:0]
		if n > 0 {
			x.begun.Store(true)
			b = x.appendPiece(b, buf[:n])
		}
		if rerr == io.EOF {
			x.taken.Store(true)
			b = x.appendEnd(b)
		}
		if len(b) > 0 {
			if _, err = x.t.Write(b); err != nil {
				return nil, err
			}
			x.moved.Add(1)
		}
		if rerr == io.EOF {
			return nil, nil
		}
		if rerr != nil {
			return x.w.bodyError(rerr), nil
		}
	}
}

// readReady reads once, then as much as is available without waiting.
func readReady(body http1.Body, buf []byte) (n int, err error) {
	for n, err = body.Read(buf); err == nil && n < len(buf) && body.Ready(); {
		var more int
		more, err = body.Read(buf[n:])
		n += more
	}
	return n, err
}

// appendPiece appends a piece of the body in the target's framing.
func (x *exchange) appendPiece(b, piece []byte) []byte {
	if !x.r.chunked() {
		return append(b, piece...)
	}
	b = fmt.Appendf(b, "%x\r\n", len(piece))
	b = append(b, piece...)
	return append(b, "\r\n"...)
}

// appendEnd appends the end of the body.
func (x *exchange) appendEnd(b []byte) []byte {
	if !x.r.chunked() {
		return b
	}
	return appendTrailers(b, x.r.chunks.Trailers, goodTrailer)
}

// watch detects that the application goes away or closes its direction, and forwards
// that to the target. It leaves requests that arrive in the meantime unread.
func (x *exchange) watch() {
	in := x.w.in
	for n := in.Buffered() + 1; n <= in.Size(); n = in.Buffered() + 1 {
		_, err := in.Peek(n)
		switch {
		case err == nil:
			continue
		case timedOut(err): // caused by stop
		case err == io.EOF && in.Buffered() > 0: // more requests to serve first
		case err == io.EOF:
			x.half = true
			x.t.closeWrite()
		default:
			x.gone = gone(err)
			x.t.abort()
		}
		return
	}
}

// stop stops send and waits for it to return. A target that has responded may not have
// read the whole request, but usually only the last piece is still being written.
func (x *exchange) stop() {
	if x.taken.Load() {
		select {
		case <-x.written:
		case <-time.After(lastPieceMax):
		}
	}
	if !x.isWritten() {
		x.t.abort()
	}
	_ = x.w.Conn.SetReadDeadline(time.Unix(1, 0))
	<-x.sent
	_ = x.w.Conn.SetReadDeadline(time.Time{})
}

// rest waits until the rest of the request has been sent to a target that has already
// responded. It gives up if there is no progress.
func (x *exchange) rest() {
	for moved := int64(-1); moved != x.moved.Load(); {
		moved = x.moved.Load()
		select {
		case <-x.written:
			return
		case <-time.After(nextPieceMax):
		}
	}
}

func (x *exchange) isWritten() bool {
	select {
	case <-x.written:
		return true
	default:
		return false
	}
}

// answer waits for the head of the final response. It forwards interim responses as
// they arrive.
func (x *exchange) answer() (*response, error) {
	for range interimMax {
		resp, err := readAnswer(x.t.in, x.r.method)
		if err != nil {
			return nil, fmt.Errorf("waiting for a response: %w", err)
		}
		if resp.HasBody && len(resp.Codings) > 0 && !x.r.modern() {
			return nil, malformed("response has a transfer coding that HTTP/1.0 does not support")
		}
		if resp.Status >= 200 || resp.Status == http.StatusSwitchingProtocols {
			return resp, nil
		}
		if !x.r.modern() {
			continue // HTTP/1.0 has no interim responses (RFC 9110 section 15.2)
		}
		if _, err := x.w.Conn.Write(appendInterim(nil, resp)); err != nil {
			return nil, gone(err)
		}
		x.invited = x.invited || resp.Status == http.StatusContinue
		x.oddInterim = x.oddInterim || resp.Odd
	}
	return nil, &code.Error{Code: code.Protocol, Text: "it sent too many interim (1xx) responses"}
}
