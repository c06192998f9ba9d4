package entry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/splice"
	"tunnels/internal/upstream"
)

// requestAttempt sends a request to a server and, if that fails, to the next one, each
// at most once, provided that no byte from the application can have reached the target.
// Only one goroutine uses it at a time.
type requestAttempt struct {
	// Immutable after creation.
	e      *Entry
	r      *events.Request
	target eagersocks.Address
	reply  bool   // wait for the exit's reply
	head   []byte // the request
	early  []byte // bytes the application sent after the request

	tried map[*upstream.Server]bool
}

func (e *Entry) newAttempt(req *eagersocks.Request, r *events.Request, eager bool) (*requestAttempt, error) {
	out := eagersocks.Request{Command: req.Command, Target: req.Target, ReplyWanted: !eager, Options: req.Options}
	head, err := out.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	return &requestAttempt{e: e, r: r, target: req.Target, reply: !eager, head: head, early: req.Early(), tried: map[*upstream.Server]bool{}}, nil
}

// next sends the request to the best server not yet tried.
func (a *requestAttempt) next(parent context.Context) (splice.Stream, error) {
	ctx, cancel := context.WithTimeout(parent, a.e.timeout)
	defer cancel()
	var last error
	for {
		way, err := a.e.servers.Open(ctx, a.tried)
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		a.r.Via(way.Server.Address)
		again, err := a.send(way.Stream, way.Left)
		if err == nil {
			return way.Stream, nil
		}
		splice.Abort(way.Stream, code.Cancelled, "")
		if !again || ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
}

// send writes the request and the bytes after it, and waits for the reply if one is
// wanted. again reports whether a different server may be tried.
func (a *requestAttempt) send(far splice.Stream, ctx context.Context) (again bool, err error) {
	all := a.head
	if len(a.early) > 0 {
		all = append(all[:len(all):len(all)], a.early...)
	}
	n, err := far.Write(all)
	if err != nil {
		return n <= len(a.head) && upstream.Elsewhere(err), fmt.Errorf("sending the request: %w", err)
	}
	if !a.reply {
		return false, nil
	}
	release := endReading(far, ctx)
	began := time.Now()
	err = a.e.answered(far, a.target)
	left := release()
	if err == nil && left {
		err = far.SetReadDeadline(time.Time{})
	}
	if err == nil {
		a.r.Connected(time.Since(began))
		a.e.start(a.r)
		a.e.events.RequestDialed(a.r)
	}
	again = upstream.Elsewhere(err) || left && errors.Is(err, os.ErrDeadlineExceeded)
	return again && len(a.early) == 0, err
}

// endReading makes reads from far fail once ctx is done, which is when the client
// abandons the server. release undoes that, and reports whether it had already happened.
func endReading(far net.Conn, ctx context.Context) (release func() (left bool)) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = far.SetReadDeadline(time.Unix(1, 0)) // fails only if far has ended
	})
	return func() bool {
		if stop() {
			return false
		}
		<-ended
		return true
	}
}
