package splice

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/internal/code"
)

// observed joins an application and a target, and records the calls to their Flows.
type observed struct {
	app, target Stream
	b           *session // the end connected to target
	moved       [2]atomic.Int64
	calls       chan string
	result      chan Result
}

func observe(t *testing.T) *observed {
	o := &observed{calls: make(chan string, 9), result: make(chan Result, 1)}
	app, a := pair(t, "tcp")
	target, b := pair(t, "tcp")
	o.app, o.target, o.b = app, target, &session{Stream: b}
	o.moved[0].Store(1000) // as if bytes had already been sent
	p := Pair{A: a, B: o.b, WhenAFails: code.Cancelled, WhenBFails: code.General}
	p.FromA = Flow{Moved: &o.moved[0]}
	p.FromB = Flow{
		Moved:  &o.moved[1],
		First:  func() { o.calls <- "first" },
		Failed: func(err error) { o.calls <- "failed" },
	}
	go func() { o.result <- p.Join(); close(o.calls) }()
	return o
}

// events waits for the join to end and returns the recorded calls.
func (o *observed) events() string {
	var all []string
	for e := range o.calls {
		all = append(all, e)
	}
	return strings.Join(all, " ")
}

func TestFlow(t *testing.T) {
	for name, tt := range map[string]struct {
		play  func(o *observed)
		calls string
		up    int64 // -1 means that any number is accepted
		down  int64
	}{
		"an answer": {func(o *observed) {
			io.WriteString(o.app, "request")
			o.app.CloseWrite()
			io.ReadAll(o.target)
			io.WriteString(o.target, "answer")
			io.ReadFull(o.app, make([]byte, 6))
			io.WriteString(o.target, "more")
			o.target.Close()
			io.ReadAll(o.app)
		}, "first", 1007, 10},
		"end without data": {func(o *observed) {
			o.app.CloseWrite()
			o.target.Close()
			io.ReadAll(o.app)
		}, "", 1000, 0},
		"reset without data": {func(o *observed) {
			Abort(o.target, code.General, "")
			io.ReadAll(o.app)
		}, "failed", 1000, 0},
		"reset after data": {func(o *observed) {
			io.WriteString(o.target, "half")
			io.ReadFull(o.app, make([]byte, 4))
			Abort(o.target, code.General, "")
			io.ReadAll(o.app)
		}, "first", 1000, 4},
		"end without data, and data for it": {func(o *observed) {
			o.target.Close()
			io.ReadAll(o.app) // wait until the end has been passed on
			for {             // the system rejects these bytes
				if _, err := o.app.Write([]byte("more")); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, "", -1, 0},
		"application reset": {func(o *observed) {
			Abort(o.app, code.Cancelled, "")
			io.ReadAll(o.target)
		}, "", 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t)
			tt.play(o)
			<-o.result
			if calls := o.events(); calls != tt.calls {
				t.Errorf("calls were %q, want %q", calls, tt.calls)
			}
			if up, down := o.moved[0].Load(), o.moved[1].Load(); tt.up >= 0 && up != tt.up || down != tt.down {
				t.Errorf("counted %d and %d bytes, want %d and %d", up, down, tt.up, tt.down)
			}
		})
	}
}

// TestFailedFirst checks that Flow.Failed is called before the application can see the
// failure, so that it is already recorded when the application retries.
func TestFailedFirst(t *testing.T) {
	app, a := pair(t, "tcp")
	target, b := pair(t, "tcp")
	noted := make(chan struct{})
	p := Pair{A: a, B: b, FromB: Flow{Failed: func(error) {
		app.(*net.TCPConn).SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := app.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("the application has already seen %v", err)
		}
		app.(*net.TCPConn).SetReadDeadline(time.Time{})
		close(noted)
	}}}
	go p.Join()
	Abort(target, code.General, "")
	<-noted
	if _, err := app.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the application reads %v, want a reset", err)
	}
}

// TestWrapBare checks that a Wrap around a stream without optional capabilities reports
// them as unsupported and can still abort the stream.
func TestWrapBare(t *testing.T) {
	a, b := pair(t, "unix")
	w := Wrap{hidden{a}}
	if _, err := w.Peek(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Peek: %v", err)
	}
	for name, err := range map[string]error{
		"WaitReadable": w.WaitReadable(),
		"SetSink":      w.SetSink(func([][]byte) int { return 0 }),
		"SetLinger":    w.SetLinger(0),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.OnReadable(func() {}) || w.OnEnd(func(error, bool) {}) || w.Throttled() {
		t.Error("the Wrap claims a capability that the stream lacks")
	}
	_ = w.Reset(code.General, "")
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("the other end did not see the reset")
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// eager is a stream that delivers as soon as it can.
type eager struct{ Stream }

func (e eager) SetSink(take func([][]byte) int) error {
	take([][]byte{[]byte("at once")})
	return nil
}

// TestDeliveryFailsAtOnce tests a delivery that fails before copying has begun.
func TestDeliveryFailsAtOnce(t *testing.T) {
	_, a := pair(t, "tcp")
	_, b := pair(t, "tcp")
	_ = b.(*net.TCPConn).CloseWrite() // so that writing to it fails
	failed := make(chan error, 1)
	p := Pair{A: eager{a}, B: b, FromB: Flow{Failed: func(err error) { failed <- err }}}
	if r := p.Join(); r.Failed != B || r.Err == nil {
		t.Errorf("Join = %+v, want b failed", r)
	}
	if len(failed) != 1 {
		t.Error("the failure was not reported")
	}
}
