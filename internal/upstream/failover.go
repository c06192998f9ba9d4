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

// FailoverStream is the stream to the server for a request that has not yet sent any
// data. Until the first byte from the application or the target, it survives the loss
// of its server by repeating the request at a different one. The reader detects the
// loss and fails over; writers block meanwhile. Without remux, losing a server cannot
// be distinguished from a failure of the target.
type FailoverStream struct {
	again  func(context.Context) (splice.Stream, error) // immutable; repeats the request at a different server
	ctx    context.Context                              // immutable; canceled to stop again
	cancel context.CancelFunc

	bound atomic.Bool // bound to the current server, so current no longer changes; written under mu

	mu      sync.Mutex
	changed sync.Cond            // uses mu; signals changes of current, bound and writing
	current splice.Stream        // guarded by mu
	writing bool                 // guarded by mu; a write to current is in progress
	take    func(p [][]byte) int // guarded by mu; set by SetSink, or nil
	linger  *int                 // guarded by mu; set by SetLinger, or nil
	onEnd   func(error, bool)    // guarded by mu; set by OnEnd, or nil
}

var _ splice.Whole = (*FailoverStream)(nil)

// NewFailoverStream returns a stream that uses stream until its server is lost and
// then, if no data has been sent, the stream that again returns. It no longer fails
// over once parent is done.
func NewFailoverStream(parent context.Context, stream splice.Stream, again func(context.Context) (splice.Stream, error)) *FailoverStream {
	fs := &FailoverStream{again: again, current: stream}
	fs.ctx, fs.cancel = context.WithCancel(parent)
	fs.changed.L = &fs.mu
	return fs
}

// bind permanently binds the stream to its current server.
func (fs *FailoverStream) bind() splice.Stream {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.bindLocked()
	return fs.current
}

func (fs *FailoverStream) bindLocked() {
	if !fs.bound.Load() {
		fs.bound.Store(true)
		fs.cancel()
		fs.changed.Broadcast()
		if e, ok := fs.current.(splice.Ender); ok && fs.onEnd != nil {
			e.OnEnd(fs.onEnd)
		}
	}
}

// OnEnd implements splice.Ender. The loss of a server does not end a stream that is not
// yet bound to it.
func (fs *FailoverStream) OnEnd(f func(err error, whole bool)) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	e, ok := fs.current.(splice.Ender)
	if !ok {
		return false
	}
	if fs.bound.Load() {
		return e.OnEnd(f)
	}
	fs.onEnd = f
	return true
}

func (fs *FailoverStream) now() splice.Stream {
	if fs.bound.Load() {
		return fs.current
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.current
}

// read calls f to read from the current server, and calls it again after each failover.
func (fs *FailoverStream) read(f func(splice.Stream) error) error {
	for {
		if fs.bound.Load() {
			return f(fs.current)
		}
		from := fs.now()
		err := f(from)
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err == nil || err == io.EOF || !Elsewhere(err) {
			fs.bind()
			return err
		}
		if !fs.move() {
			return err
		}
	}
}

// move fails over to a different server. It returns false if the stream is bound to its
// failed server.
func (fs *FailoverStream) move() bool {
	fs.mu.Lock()
	for fs.writing { // the write will either fail too or have sent some data
		fs.changed.Wait()
	}
	bound := fs.bound.Load()
	old := fs.current
	fs.mu.Unlock()
	if bound {
		return false
	}
	stream, err := fs.again(fs.ctx)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if err != nil {
		fs.bindLocked()
		return false
	}
	if fs.bound.Load() { // closed in the meantime
		splice.Abort(stream, code.Cancelled, "")
		return false
	}
	_ = old.Close() // already ended
	fs.current = stream
	if d, ok := stream.(splice.SinkSetter); ok && fs.take != nil {
		_ = d.SetSink(fs.takeFrom(stream, fs.take)) // if this fails, the data is read instead
	}
	if fs.linger != nil {
		_ = splice.Wrap{Stream: stream}.SetLinger(*fs.linger)
	}
	fs.changed.Broadcast()
	return true
}

// Write implements net.Conn. The first byte sent binds the stream to its server.
func (fs *FailoverStream) Write(p []byte) (int, error) {
	for !fs.bound.Load() {
		fs.mu.Lock()
		stream := fs.current
		fs.writing = true
		fs.mu.Unlock()
		n, err := stream.Write(p)
		fs.mu.Lock()
		fs.writing = false
		fs.changed.Broadcast()
		if n > 0 || err == nil || !Elsewhere(err) {
			fs.bindLocked()
			fs.mu.Unlock()
			return n, err
		}
		for fs.current == stream && !fs.bound.Load() {
			fs.changed.Wait()
		}
		fs.mu.Unlock()
	}
	return fs.current.Write(p)
}

// Read implements net.Conn.
func (fs *FailoverStream) Read(p []byte) (n int, err error) {
	err = fs.read(func(stream splice.Stream) error { n, err = stream.Read(p); return err })
	return n, err
}

// Peek implements splice.Peeker if the current stream does.
func (fs *FailoverStream) Peek() (b []byte, err error) {
	err = fs.read(func(stream splice.Stream) error { b, err = splice.Wrap{Stream: stream}.Peek(); return err })
	return b, err
}

// Discard implements splice.Peeker. It must follow a successful Peek.
func (fs *FailoverStream) Discard() { splice.Wrap{Stream: fs.now()}.Discard() }

// WaitReadable implements splice.Waiter if the current stream does.
func (fs *FailoverStream) WaitReadable() error {
	return fs.read(func(stream splice.Stream) error { return splice.Wrap{Stream: stream}.WaitReadable() })
}

// SetSink implements splice.SinkSetter if the current stream does.
func (fs *FailoverStream) SetSink(take func([][]byte) int) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, ok := fs.current.(splice.SinkSetter)
	if !ok {
		return errors.ErrUnsupported
	}
	fs.take = take
	return d.SetSink(fs.takeFrom(fs.current, take))
}

// takeFrom wraps take for data delivered by stream, so that the data binds the
// FailoverStream to it. Data still arriving from an abandoned server is dropped.
func (fs *FailoverStream) takeFrom(stream splice.Stream, take func([][]byte) int) func([][]byte) int {
	return func(pieces [][]byte) int {
		if fs.bound.Load() && fs.current == stream {
			return take(pieces)
		}
		fs.mu.Lock()
		here := fs.current == stream
		if here {
			fs.bindLocked()
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

// NetConn returns the current stream, for access to its socket.
func (fs *FailoverStream) NetConn() net.Conn { return fs.now() }

// Throttled reports whether the current stream is throttled.
func (fs *FailoverStream) Throttled() bool { return splice.Wrap{Stream: fs.now()}.Throttled() }

// CloseWrite closes the direction to the server and binds the stream to that server.
func (fs *FailoverStream) CloseWrite() error { return fs.bind().CloseWrite() }

// Close implements net.Conn.
func (fs *FailoverStream) Close() error { return fs.bind().Close() }

// Reset implements code.Resetter.
func (fs *FailoverStream) Reset(c code.Code, text string) error {
	splice.Abort(fs.bind(), c, text)
	return nil
}

// SetLinger sets the linger time of the current stream, if it has one.
func (fs *FailoverStream) SetLinger(sec int) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.linger = &sec
	return splice.Wrap{Stream: fs.current}.SetLinger(sec)
}

// LocalAddr returns the local address of the current stream.
func (fs *FailoverStream) LocalAddr() net.Addr { return fs.now().LocalAddr() }

// RemoteAddr returns the remote address of the current stream.
func (fs *FailoverStream) RemoteAddr() net.Addr { return fs.now().RemoteAddr() }

// SetDeadline sets the stream's deadlines and binds it to its server.
func (fs *FailoverStream) SetDeadline(t time.Time) error { return fs.bind().SetDeadline(t) }

// SetReadDeadline sets the stream's read deadline and binds it to its server.
func (fs *FailoverStream) SetReadDeadline(t time.Time) error { return fs.bind().SetReadDeadline(t) }

// SetWriteDeadline sets the stream's write deadline and binds it to its server.
func (fs *FailoverStream) SetWriteDeadline(t time.Time) error { return fs.bind().SetWriteDeadline(t) }

// Elsewhere reports whether a failed request may succeed at a different server, because
// it was the server or the connection to it that failed, not the target.
func Elsewhere(err error) bool {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e.Remote && (e.Code == code.GoingAway || e.Code == code.Overload)
	}
	return err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded)
}
