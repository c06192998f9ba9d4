package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// Movable is the server's side of a request with which nothing was sent. Until a
// byte of the application's or the target's has passed, it survives the loss of its
// server: the request is made again at another one. Who reads from it finds the loss
// and moves it; who writes waits for that. Without remux it cannot be told from the
// failure of a target.
type Movable struct {
	again  func(context.Context) (splice.Stream, error) // static; makes the request elsewhere
	ctx    context.Context                              // static; ends again
	cancel context.CancelFunc

	stays atomic.Bool // it is where it will stay; far is static then. Written under mu

	mu      sync.Mutex
	turned  sync.Cond            // of mu; a change of far, stays or writing
	far     splice.Stream        // guarded by mu
	writing bool                 // guarded by mu; bytes are being handed to far
	take    func(p [][]byte) int // guarded by mu; see Deliver; nil: there is none
	linger  *int                 // guarded by mu; see SetLinger; nil: not set
	onEnd   func(error, bool)    // guarded by mu; see OnEnd; nil if not set
}

var _ splice.Whole = (*Movable)(nil)

// NewMovable returns a stream that is far until far's server is lost, and then what again
// makes, as long as nothing was sent. The end of parent ends the moving.
func NewMovable(parent context.Context, far splice.Stream, again func(context.Context) (splice.Stream, error)) *Movable {
	m := &Movable{again: again, far: far}
	m.ctx, m.cancel = context.WithCancel(parent)
	m.turned.L = &m.mu
	return m
}

// stay has it stay where it is, for good.
func (m *Movable) stay() splice.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stayLocked()
	return m.far
}

func (m *Movable) stayLocked() {
	if !m.stays.Load() {
		m.stays.Store(true)
		m.cancel()
		m.turned.Broadcast()
		if e, ok := m.far.(splice.Ender); ok && m.onEnd != nil {
			e.OnEnd(m.onEnd)
		}
	}
}

// OnEnd implements splice.Ender. The loss of a server is no end before it stays.
func (m *Movable) OnEnd(f func(err error, whole bool)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.far.(splice.Ender)
	if !ok {
		return false
	}
	if m.stays.Load() {
		return e.OnEnd(f)
	}
	m.onEnd = f
	return true
}

func (m *Movable) now() splice.Stream {
	if m.stays.Load() {
		return m.far
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.far
}

// read calls f to read from where it is, until that is where it stays.
func (m *Movable) read(f func(splice.Stream) error) error {
	for {
		if m.stays.Load() {
			return f(m.far)
		}
		from := m.now()
		err := f(from)
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err == nil || err == io.EOF || !Elsewhere(err) {
			m.stay()
			return err
		}
		if !m.move() {
			return err
		}
	}
}

// move moves it; false: it stays, though it has failed.
func (m *Movable) move() bool {
	m.mu.Lock()
	for m.writing { // that fails, too, or some of it has gone out
		m.turned.Wait()
	}
	stays := m.stays.Load()
	old := m.far
	m.mu.Unlock()
	if stays {
		return false
	}
	far, err := m.again(m.ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.stayLocked()
		return false
	}
	if m.stays.Load() { // it was closed meanwhile
		splice.Abort(far, code.Cancelled, "")
		return false
	}
	_ = old.Close() // it has ended
	m.far = far
	if d, ok := far.(splice.Deliverer); ok && m.take != nil {
		_ = d.Deliver(m.takeFrom(far, m.take)) // if it cannot, all is read
	}
	if m.linger != nil {
		_ = splice.Wrap{Stream: far}.SetLinger(*m.linger)
	}
	m.turned.Broadcast()
	return true
}

// Write implements net.Conn. The first bytes that go out bind it to its server.
func (m *Movable) Write(p []byte) (int, error) {
	for !m.stays.Load() {
		m.mu.Lock()
		far := m.far
		m.writing = true
		m.mu.Unlock()
		n, err := far.Write(p)
		m.mu.Lock()
		m.writing = false
		m.turned.Broadcast()
		if n > 0 || err == nil || !Elsewhere(err) {
			m.stayLocked()
			m.mu.Unlock()
			return n, err
		}
		for m.far == far && !m.stays.Load() {
			m.turned.Wait()
		}
		m.mu.Unlock()
	}
	return m.far.Write(p)
}

// Read implements net.Conn.
func (m *Movable) Read(p []byte) (n int, err error) {
	err = m.read(func(far splice.Stream) error { n, err = far.Read(p); return err })
	return n, err
}

// Borrow implements splice.Lender as far as the stream does.
func (m *Movable) Borrow() (b []byte, err error) {
	err = m.read(func(far splice.Stream) error { b, err = splice.Wrap{Stream: far}.Borrow(); return err })
	return b, err
}

// GiveBack implements splice.Lender; it follows a Borrow that succeeded.
func (m *Movable) GiveBack() { splice.Wrap{Stream: m.now()}.GiveBack() }

// WaitReadable implements splice.Waiter as far as the stream does.
func (m *Movable) WaitReadable() error {
	return m.read(func(far splice.Stream) error { return splice.Wrap{Stream: far}.WaitReadable() })
}

// Deliver implements splice.Deliverer as far as the stream does.
func (m *Movable) Deliver(take func([][]byte) int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.far.(splice.Deliverer)
	if !ok {
		return errors.ErrUnsupported
	}
	m.take = take
	return d.Deliver(m.takeFrom(m.far, take))
}

// takeFrom is take for what far delivers, which binds it to far. What a server that
// was left still had in hand is not mixed with what the next one says.
func (m *Movable) takeFrom(far splice.Stream, take func([][]byte) int) func([][]byte) int {
	return func(pieces [][]byte) int {
		if m.stays.Load() && m.far == far {
			return take(pieces)
		}
		m.mu.Lock()
		here := m.far == far
		if here {
			m.stayLocked()
		}
		m.mu.Unlock()
		if !here {
			return 0
		}
		return take(pieces)
	}
}

// OnReadable implements splice.Sleeper as far as the stream does.
func (m *Movable) OnReadable(f func()) bool { return splice.Wrap{Stream: m.now()}.OnReadable(f) }

// NetConn returns the stream, for looking at its socket.
func (m *Movable) NetConn() net.Conn { return m.now() }

// Throttled is the stream's.
func (m *Movable) Throttled() bool { return splice.Wrap{Stream: m.now()}.Throttled() }

// CloseWrite ends the direction to the server, and binds it to that.
func (m *Movable) CloseWrite() error { return m.stay().CloseWrite() }

// Close implements net.Conn.
func (m *Movable) Close() error { return m.stay().Close() }

// Reset implements code.Resetter.
func (m *Movable) Reset(c code.Code, text string) error {
	splice.Abort(m.stay(), c, text)
	return nil
}

// SetLinger is that of the stream, if it has one.
func (m *Movable) SetLinger(sec int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.linger = &sec
	return splice.Wrap{Stream: m.far}.SetLinger(sec)
}

// LocalAddr is the stream's.
func (m *Movable) LocalAddr() net.Addr { return m.now().LocalAddr() }

// RemoteAddr is the stream's.
func (m *Movable) RemoteAddr() net.Addr { return m.now().RemoteAddr() }

// SetDeadline is the stream's, and binds it to its server.
func (m *Movable) SetDeadline(t time.Time) error { return m.stay().SetDeadline(t) }

// SetReadDeadline is the stream's, and binds it to its server.
func (m *Movable) SetReadDeadline(t time.Time) error { return m.stay().SetReadDeadline(t) }

// SetWriteDeadline is the stream's, and binds it to its server.
func (m *Movable) SetWriteDeadline(t time.Time) error { return m.stay().SetWriteDeadline(t) }

// Elsewhere reports whether a request that failed so may do better at another server:
// it was the way to this one that failed, or the server that was not willing, and
// not the target.
func Elsewhere(err error) bool {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e.Remote && (e.Code == code.GoingAway || e.Code == code.Overload)
	}
	return err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded)
}
