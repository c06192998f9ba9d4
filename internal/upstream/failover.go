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

// FailoverStream is the stream to the server for a request that has sent nothing yet.
// Until the first byte from the application or the target, it survives the loss of its
// server by repeating the request at a different one. The reader detects the loss and
// fails over; writers block meanwhile. Without remux, losing a server cannot be
// distinguished from a failure of the target.
type FailoverStream struct {
	again  func(context.Context) (splice.Stream, error) // set once; repeats the request at a different server
	ctx    context.Context                              // set once; cancels again
	cancel context.CancelFunc

	stays atomic.Bool // the stream is bound to its server, so far no longer changes; written under mu

	mu      sync.Mutex
	turned  sync.Cond            // uses mu; signals a change of far, stays or writing
	far     splice.Stream        // guarded by mu
	writing bool                 // guarded by mu; a write to far is in progress
	take    func(p [][]byte) int // guarded by mu; see SetSink; nil if not set
	linger  *int                 // guarded by mu; see SetLinger; nil if not set
	onEnd   func(error, bool)    // guarded by mu; see OnEnd; nil if not set
}

var _ splice.Whole = (*FailoverStream)(nil)

// NewFailoverStream returns a stream that uses far until far's server is lost and then,
// as long as nothing has been sent, the stream that again returns. Failover stops when
// parent ends.
func NewFailoverStream(parent context.Context, far splice.Stream, again func(context.Context) (splice.Stream, error)) *FailoverStream {
	fs := &FailoverStream{again: again, far: far}
	fs.ctx, fs.cancel = context.WithCancel(parent)
	fs.turned.L = &fs.mu
	return fs
}

// stay binds the stream to its current server for good.
func (fs *FailoverStream) stay() splice.Stream {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.stayLocked()
	return fs.far
}

func (fs *FailoverStream) stayLocked() {
	if !fs.stays.Load() {
		fs.stays.Store(true)
		fs.cancel()
		fs.turned.Broadcast()
		if e, ok := fs.far.(splice.Ender); ok && fs.onEnd != nil {
			e.OnEnd(fs.onEnd)
		}
	}
}

// OnEnd implements splice.Ender. Losing a server does not end a stream that is not yet
// bound to it.
func (fs *FailoverStream) OnEnd(f func(err error, whole bool)) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	e, ok := fs.far.(splice.Ender)
	if !ok {
		return false
	}
	if fs.stays.Load() {
		return e.OnEnd(f)
	}
	fs.onEnd = f
	return true
}

func (fs *FailoverStream) now() splice.Stream {
	if fs.stays.Load() {
		return fs.far
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.far
}

// read calls f to read from the current server, and once more after each failover.
func (fs *FailoverStream) read(f func(splice.Stream) error) error {
	for {
		if fs.stays.Load() {
			return f(fs.far)
		}
		from := fs.now()
		err := f(from)
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err == nil || err == io.EOF || !Elsewhere(err) {
			fs.stay()
			return err
		}
		if !fs.move() {
			return err
		}
	}
}

// move fails over to a different server. It returns false if the stream stays with its
// failed server.
func (fs *FailoverStream) move() bool {
	fs.mu.Lock()
	for fs.writing { // the write will either fail as well or have sent some bytes
		fs.turned.Wait()
	}
	stays := fs.stays.Load()
	old := fs.far
	fs.mu.Unlock()
	if stays {
		return false
	}
	far, err := fs.again(fs.ctx)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err != nil {
		fs.stayLocked()
		return false
	}
	if fs.stays.Load() { // closed in the meantime
		splice.Abort(far, code.Cancelled, "")
		return false
	}
	_ = old.Close() // already ended
	fs.far = far
	if d, ok := far.(splice.SinkSetter); ok && fs.take != nil {
		_ = d.SetSink(fs.takeFrom(far, fs.take)) // if far cannot deliver, its data is read instead
	}
	if fs.linger != nil {
		_ = splice.Wrap{Stream: far}.SetLinger(*fs.linger)
	}
	fs.turned.Broadcast()
	return true
}

// Write implements net.Conn. The first byte sent binds the stream to its server.
func (fs *FailoverStream) Write(p []byte) (int, error) {
	for !fs.stays.Load() {
		fs.mu.Lock()
		far := fs.far
		fs.writing = true
		fs.mu.Unlock()
		n, err := far.Write(p)
		fs.mu.Lock()
		fs.writing = false
		fs.turned.Broadcast()
		if n > 0 || err == nil || !Elsewhere(err) {
			fs.stayLocked()
			fs.mu.Unlock()
			return n, err
		}
		for fs.far == far && !fs.stays.Load() {
			fs.turned.Wait()
		}
		fs.mu.Unlock()
	}
	return fs.far.Write(p)
}

// Read implements net.Conn.
func (fs *FailoverStream) Read(p []byte) (n int, err error) {
	err = fs.read(func(far splice.Stream) error { n, err = far.Read(p); return err })
	return n, err
}

// Peek implements splice.Peeker if the current stream does.
func (fs *FailoverStream) Peek() (b []byte, err error) {
	err = fs.read(func(far splice.Stream) error { b, err = splice.Wrap{Stream: far}.Peek(); return err })
	return b, err
}

// Discard implements splice.Peeker. It must follow a successful Peek.
func (fs *FailoverStream) Discard() { splice.Wrap{Stream: fs.now()}.Discard() }

// WaitReadable implements splice.Waiter if the current stream does.
func (fs *FailoverStream) WaitReadable() error {
	return fs.read(func(far splice.Stream) error { return splice.Wrap{Stream: far}.WaitReadable() })
}

// SetSink implements splice.SinkSetter if the current stream does.
func (fs *FailoverStream) SetSink(take func([][]byte) int) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, ok := fs.far.(splice.SinkSetter)
	if !ok {
		return errors.ErrUnsupported
	}
	fs.take = take
	return d.SetSink(fs.takeFrom(fs.far, take))
}

// takeFrom wraps take for data delivered by far, so that the data binds the stream to
// far. Data still arriving from an abandoned server is dropped.
func (fs *FailoverStream) takeFrom(far splice.Stream, take func([][]byte) int) func([][]byte) int {
	return func(pieces [][]byte) int {
		if fs.stays.Load() && fs.far == far {
			return take(pieces)
		}
		fs.mu.Lock()
		here := fs.far == far
		if here {
			fs.stayLocked()
		}
		fs.mu.Unlock()
		if !here {
			return 0
		}
		return take(pieces)
	}
}

// OnReadable implements splice.Sleeper if the current stream does.
func (fs *FailoverStream) OnReadable(f func()) bool {
	return splice.Wrap{Stream: fs.now()}.OnReadable(f)
}

// NetConn returns the current stream, to give access to its socket.
func (fs *FailoverStream) NetConn() net.Conn { return fs.now() }

// Throttled reports whether the current stream is throttled.
func (fs *FailoverStream) Throttled() bool { return splice.Wrap{Stream: fs.now()}.Throttled() }

// CloseWrite ends the direction to the server and binds the stream to it.
func (fs *FailoverStream) CloseWrite() error { return fs.stay().CloseWrite() }

// Close implements net.Conn.
func (fs *FailoverStream) Close() error { return fs.stay().Close() }

// Reset implements code.Resetter.
func (fs *FailoverStream) Reset(c code.Code, text string) error {
	splice.Abort(fs.stay(), c, text)
	return nil
}

// SetLinger sets the linger time of the current stream, if it has one.
func (fs *FailoverStream) SetLinger(sec int) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.linger = &sec
	return splice.Wrap{Stream: fs.far}.SetLinger(sec)
}

// LocalAddr returns the local address of the current stream.
func (fs *FailoverStream) LocalAddr() net.Addr { return fs.now().LocalAddr() }

// RemoteAddr returns the remote address of the current stream.
func (fs *FailoverStream) RemoteAddr() net.Addr { return fs.now().RemoteAddr() }

// SetDeadline sets the stream's deadlines and binds it to its server.
func (fs *FailoverStream) SetDeadline(t time.Time) error { return fs.stay().SetDeadline(t) }

// SetReadDeadline sets the stream's read deadline and binds it to its server.
func (fs *FailoverStream) SetReadDeadline(t time.Time) error { return fs.stay().SetReadDeadline(t) }

// SetWriteDeadline sets the stream's write deadline and binds it to its server.
func (fs *FailoverStream) SetWriteDeadline(t time.Time) error { return fs.stay().SetWriteDeadline(t) }

// Elsewhere reports whether a failed request may succeed at a different server, because
// the connection to this one or the server itself failed rather than the target.
func Elsewhere(err error) bool {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e.Remote && (e.Code == code.GoingAway || e.Code == code.Overload)
	}
	return err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded)
}
