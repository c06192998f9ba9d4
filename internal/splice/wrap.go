package splice

import (
	"errors"
	"net"

	"tunnels/internal/code"
)

// Whole is a stream with every optional capability that Pair.Join uses. Every wrapper
// of a stream implements it, so that forgetting to forward a capability is a compile
// error rather than a silent loss of speed. See Wrap.
type Whole interface {
	Stream
	Waiter
	Peeker
	SinkSetter
	Sleeper
	Ender
	code.Resetter
	// SetLinger sets how Close treats unsent data, like net.TCPConn.SetLinger.
	SetLinger(sec int) error
	// NetConn returns the underlying stream, so that its socket can be polled.
	NetConn() net.Conn
	// Throttled reports whether the stream is holding back bytes to limit the rate.
	Throttled() bool
}

// Wrap implements Whole by forwarding each method to the Stream. To change some
// methods, embed a Wrap and override them. If the Stream lacks a capability, the
// methods of Peeker, SinkSetter and Waiter return errors.ErrUnsupported, and those of
// Sleeper and Ender return false.
type Wrap struct{ Stream }

var _ Whole = Wrap{}

// WaitReadable implements Waiter.
func (w Wrap) WaitReadable() error {
	if s, ok := w.Stream.(Waiter); ok {
		return s.WaitReadable()
	}
	return errors.ErrUnsupported
}

// Peek implements Peeker.
func (w Wrap) Peek() ([]byte, error) {
	if s, ok := w.Stream.(Peeker); ok {
		return s.Peek()
	}
	return nil, errors.ErrUnsupported
}

// Discard implements Peeker. It may be called only after a successful Peek.
func (w Wrap) Discard() { w.Stream.(Peeker).Discard() }

// SetSink implements SinkSetter.
func (w Wrap) SetSink(take func(pieces [][]byte) int) error {
	if s, ok := w.Stream.(SinkSetter); ok {
		return s.SetSink(take)
	}
	return errors.ErrUnsupported
}

// OnReadable implements Sleeper.
func (w Wrap) OnReadable(f func()) bool {
	s, ok := w.Stream.(Sleeper)
	return ok && s.OnReadable(f)
}

// OnEnd implements Ender.
func (w Wrap) OnEnd(f func(err error, whole bool)) bool {
	e, ok := w.Stream.(Ender)
	return ok && e.OnEnd(f)
}

// Reset implements code.Resetter.
func (w Wrap) Reset(c code.Code, text string) error {
	Abort(w.Stream, c, text)
	return nil
}

// SetLinger implements Whole.
func (w Wrap) SetLinger(sec int) error {
	if l, ok := w.Stream.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// NetConn implements Whole.
func (w Wrap) NetConn() net.Conn { return w.Stream }

// Throttled implements Whole.
func (w Wrap) Throttled() bool {
	t, ok := w.Stream.(interface{ Throttled() bool })
	return ok && t.Throttled()
}
