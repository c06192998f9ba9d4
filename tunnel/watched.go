package tunnel

import (
	"errors"
	"io"
	"net"
	"sync/atomic"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// watched is the server's side of an eager request. It tells when the target
// fails before it has sent anything, and does so before the application can
// know: its retry must find the failure remembered.
type watched struct {
	splice.Stream
	failed func(error) // called once at most

	some atomic.Bool // bytes have come, or failed was called
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Stream.Read(p)
	w.look(n, err)
	return n, err
}

// Borrow implements splice.Lender as far as the stream does.
func (w *watched) Borrow() ([]byte, error) {
	l, ok := w.Stream.(splice.Lender)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	b, err := l.Borrow()
	w.look(len(b), err)
	return b, err
}

// Deliver implements splice.Deliverer as far as the stream does.
func (w *watched) Deliver(take func([][]byte) int) error {
	d, ok := w.Stream.(splice.Deliverer)
	if !ok {
		return errors.ErrUnsupported
	}
	return d.Deliver(func(pieces [][]byte) int {
		w.some.Store(true)
		return take(pieces)
	})
}

// OnReadable implements splice.Sleeper as far as the stream does.
func (w *watched) OnReadable(f func()) bool {
	s, ok := w.Stream.(splice.Sleeper)
	return ok && s.OnReadable(f)
}

// OnEnd implements splice.Ender as far as the stream does.
func (w *watched) OnEnd(f func(err error, whole bool)) bool {
	e, ok := w.Stream.(splice.Ender)
	return ok && e.OnEnd(f)
}

// NetConn is the stream, for looking at its socket.
func (w *watched) NetConn() net.Conn { return w.Stream }

// GiveBack implements splice.Lender; it follows a Borrow that succeeded.
func (w *watched) GiveBack() { w.Stream.(splice.Lender).GiveBack() }

func (w *watched) look(n int, err error) {
	if n == 0 && err == nil || w.some.Swap(true) {
		return
	}
	if n == 0 && err != io.EOF {
		w.failed(err)
	}
}

// SetLinger is that of the stream, if it has one.
func (w *watched) SetLinger(sec int) error {
	if l, ok := w.Stream.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Reset implements code.Resetter.
func (w *watched) Reset(c code.Code, text string) error {
	splice.Abort(w.Stream, c, text)
	return nil
}
