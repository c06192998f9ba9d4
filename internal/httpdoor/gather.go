package httpdoor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// gatherMax limits how much of a body is read, if it has already arrived, before the
// request is sent.
const gatherMax = 64 << 10

// gathered is the part of a body that arrived together with its head. Both are sent in
// a single write, so if that part is malformed, no part of the request reaches a
// target.
type gathered struct {
	body []byte
	end  bool // no more body follows
}

func (w *Conn) gather(r *request) (g gathered, err error) {
	body := r.body()
	if g.end = body == nil; g.end || r.waits() {
		return g, nil
	}
	for !g.end && len(g.body) < gatherMax && body.Ready() {
		buf := make([]byte, max(1, min(w.in.ready(), gatherMax)))
		n, err := body.Read(buf)
		g.body = append(g.body, buf[:n]...)
		if g.end = err == io.EOF; err != nil && !g.end {
			return g, w.bodyError(err)
		}
	}
	return g, nil
}

// bodyError returns the error to report when reading a body fails: either the
// connection's own error, or one that says the body is malformed.
func (w *Conn) bodyError(err error) error {
	switch w.in.src.err {
	case nil:
	case io.EOF:
		return badRequest("its body is truncated")
	default:
		return gone(err)
	}
	return badRequest(fmt.Sprintf("its body is malformed: %v", err))
}

// goneError is an error from reading from the application or writing to it.
type goneError struct{ err error }

// Error implements error.
func (e *goneError) Error() string { return "application went away: " + e.err.Error() }

// Unwrap returns the connection's error.
func (e *goneError) Unwrap() error { return e.err }

func gone(err error) error { return &goneError{err} }

func isGone(err error) bool {
	_, ok := errors.AsType[*goneError](err)
	return ok
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
