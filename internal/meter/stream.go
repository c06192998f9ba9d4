package meter

import (
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

// Stream is a stream that reads and writes only bytes that its bucket has granted. It
// stops waiting for the bucket as soon as either side closes or resets the stream, a
// deadline passes, or stop is closed. One goroutine may read while another writes.
type Stream struct {
	splice.Wrap // the metered stream

	// Immutable after construction.
	done <-chan struct{} // closed when the metered stream ends; nil if it has no Done
	stop <-chan struct{}

	in, out lane
	paying  atomic.Bool // the reader is waiting for the bucket

	once sync.Once
	over chan struct{} // closed by Close and Reset
}

var _ splice.Whole = (*Stream)(nil)

// NewStream returns s with reads limited by in and writes by out. When stop is closed, waiting
// reads and writes fail with code.GoingAway.
func NewStream(s splice.Stream, in, out *Bucket, stop <-chan struct{}) *Stream {
	m := &Stream{Wrap: splice.Wrap{Stream: s}, stop: stop, over: make(chan struct{}), in: lane{bucket: in}, out: lane{bucket: out}}
	if d, ok := s.(interface{ Done() <-chan struct{} }); ok {
		m.done = d.Done()
	}
	return m
}

// Read implements net.Conn. It reads at most a chunk, because a reader waiting for more
// tokens would be late to notice that the metered stream has failed.
func (m *Stream) Read(p []byte) (int, error) {
	n, err := m.Stream.Read(p[:min(len(p), m.in.bucket.chunk())])
	if perr := m.payIn(n); perr != nil && err == nil {
		return 0, perr
	}
	return n, err
}

// Peek implements splice.Peeker if the metered stream does.
func (m *Stream) Peek() ([]byte, error) {
	b, err := m.Wrap.Peek()
	if err != nil {
		return nil, err
	}
	if err := m.payIn(len(b)); err != nil {
		m.Discard()
		return nil, err
	}
	return b, nil
}

// SetSink returns errors.ErrUnsupported, because a delivery cannot wait for the bucket.
// The caller must read instead.
func (m *Stream) SetSink(func([][]byte) int) error { return errors.ErrUnsupported }

// Throttled reports whether the reader is waiting for the bucket, and so cannot notice
// the end of the stream.
func (m *Stream) Throttled() bool { return m.paying.Load() }

// payIn waits until n bytes that were already read may be used. If the deadline passes
// first, they may be used anyway, and later reads pay for them.
func (m *Stream) payIn(n int) error {
	m.in.owed += n
	m.paying.Store(true)
	defer m.paying.Store(false)
	done := m.done
	for {
		err := m.pay(&m.in, done)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != errDone:
			return err
		}
		// When both directions have ended cleanly, unread bytes may remain.
		_, err = m.Stream.Read(nil)
		if err != nil && err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		done = nil
	}
}

// Write implements net.Conn.
func (m *Stream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		chunk := p[n:min(len(p), n+m.out.bucket.chunk())]
		m.out.owed = len(chunk)
		if err := m.pay(&m.out, m.done); err != nil && err != errDone { // on errDone, the Write below returns the reason
			return n, err
		}
		k, err := m.Stream.Write(chunk)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// errDone means that the stream has ended.
var errDone = errors.New("stream has ended")

// pay waits until the bucket has granted the bytes owed, or returns the reason it
// stopped waiting.
func (m *Stream) pay(l *lane, done <-chan struct{}) error {
	for l.owed > 0 {
		n := min(l.owed, l.bucket.chunk())
		d, cancel := l.bucket.reserve(n)
		if d > 0 {
			if err := m.wait(l, d, done); err != nil {
				cancel()
				return err
			}
		}
		l.owed -= n
	}
	return nil
}

// wait waits for d, or returns the reason it stopped waiting early.
func (m *Stream) wait(l *lane, d time.Duration, done <-chan struct{}) error {
	ready := time.After(d)
	for {
		until, moved := l.deadline()
		var late <-chan time.Time
		if !until.IsZero() {
			late = time.After(time.Until(until))
		}
		select {
		case <-ready:
			return nil
		case <-late:
			return os.ErrDeadlineExceeded
		case <-moved:
		case <-done:
			return errDone
		case <-m.over:
			return net.ErrClosed
		case <-m.stop:
			return &code.Error{Code: code.GoingAway, Text: "the process is being stopped"}
		}
	}
}

// Close implements net.Conn.
func (m *Stream) Close() error {
	m.end()
	return m.Stream.Close()
}

// Reset implements code.Resetter.
func (m *Stream) Reset(c code.Code, text string) error {
	splice.Abort(m.Stream, c, text) // before m.end, so that waiting calls return the reason
	m.end()
	return nil
}

// end makes waiting calls fail with net.ErrClosed.
func (m *Stream) end() { m.once.Do(func() { close(m.over) }) }

// SetDeadline implements net.Conn.
func (m *Stream) SetDeadline(t time.Time) error {
	m.in.setDeadline(t)
	m.out.setDeadline(t)
	return m.Stream.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (m *Stream) SetReadDeadline(t time.Time) error {
	m.in.setDeadline(t)
	return m.Stream.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (m *Stream) SetWriteDeadline(t time.Time) error {
	m.out.setDeadline(t)
	return m.Stream.SetWriteDeadline(t)
}

// lane is one direction of a Stream.
type lane struct {
	bucket *Bucket
	owed   int // bytes moved but not yet granted; owned by the reader or writer

	mu    sync.Mutex
	until time.Time     // guarded by mu; the deadline
	moved chan struct{} // guarded by mu; closed when until changes; nil if nothing is waiting
}

// deadline returns the deadline and a channel that is closed when it changes.
func (l *lane) deadline() (time.Time, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	return l.until, l.moved
}

// setDeadline sets the deadline.
func (l *lane) setDeadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = t
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}
