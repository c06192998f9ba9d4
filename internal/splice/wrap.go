package splice

import (
	"errors"
	"net"

	"tunnels/internal/code"
)

// Whole is a stream with every capability that joining makes use of. Whatever
// wraps a stream is one, so that a capability which a wrapper forgets is an error of
// the compiler and no loss of speed: see Wrap.
type Whole interface {
	Stream
	Waiter
	Lender
	Deliverer
	Sleeper
	Ender
	code.Resetter
	// SetLinger sets what Close does with bytes that were not sent: see
	// net.TCPConn.SetLinger.
	SetLinger(sec int) error
	// NetConn returns the stream beneath, for looking at its socket.
	NetConn() net.Conn
	// Throttled reports whether bytes that have been read may not be used yet.
	Throttled() bool
}

// Wrap forwards everything to a Stream, as far as that has it. A type that changes
// some of it embeds a Wrap and defines those methods anew. A Lender, a Deliverer and
// a Waiter that cannot say so with errors.ErrUnsupported, a Sleeper and an Ender with
// false.
type Wrap struct{ Stream }

var _ Whole = Wrap{}

// WaitReadable implements Waiter.
func (w Wrap) WaitReadable() error {
	if s, ok := w.Stream.(Waiter); ok {
		return s.WaitReadable()
	}
	return errors.ErrUnsupported
}

// Borrow implements Lender.
func (w Wrap) Borrow() ([]byte, error) {
	if s, ok := w.Stream.(Lender); ok {
		return s.Borrow()
	}
	return nil, errors.ErrUnsupported
}

// GiveBack implements Lender; it follows a Borrow that succeeded.
func (w Wrap) GiveBack() { w.Stream.(Lender).GiveBack() }

// Deliver implements Deliverer.
func (w Wrap) Deliver(take func(pieces [][]byte) int) error {
	if s, ok := w.Stream.(Deliverer); ok {
		return s.Deliver(take)
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
