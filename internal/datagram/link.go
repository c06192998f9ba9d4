package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tunnels/internal/splice"
)

// lingerMax is how long data in flight may take to drain when an association ends.
const lingerMax = 2 * time.Second

var past = time.Unix(1, 0) // a deadline that has already expired

// link carries records in both directions over a session until either end closes it.
type link struct {
	queue *queue // outgoing records

	mu      sync.Mutex
	session splice.Stream // guarded by mu; set by run
	ended   bool          // guarded by mu
	err     error         // guarded by mu; why it ended, or nil after a clean end
}

// run passes received records to handle, each valid only during the call, and sends
// queued ones. It returns once both directions of the session have ended, with nil
// after a clean end. An error from handle ends the link. The caller must still close or
// abort the session.
func (l *link) run(session splice.Stream, handle func(record []byte) error) error {
	l.mu.Lock()
	l.session = session
	early := l.ended
	l.mu.Unlock()
	if early { // finish was called before run
		_ = session.SetDeadline(time.Now().Add(lingerMax))
	}
	if e, ok := session.(splice.Ender); ok {
		// Read may be waiting for the client's rate limit with a lot left to read.
		e.OnEnd(func(err error, _ bool) {
			if err != nil {
				l.fail(fmt.Errorf("carrying datagrams: %w", err))
			}
		})
	}
	var writing sync.WaitGroup
	writing.Go(l.write)
	l.read(handle)
	writing.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// read reads records until the session ends.
func (l *link) read(handle func([]byte) error) {
	r := recordReader{from: l.session}
	defer r.release()
	for {
		record, err := r.next()
		if err == io.EOF {
			l.finish()
			return
		}
		if err == nil && !l.hasEnded() {
			err = handle(record)
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// write sends queued records, as many at a time as are available.
func (l *link) write() {
	for l.queue.wait() {
		b := getBuffer()
		var err error
		for n := l.queue.take(b); n > 0 && err == nil; n = l.queue.take(b) {
			_, err = l.session.Write(b[:n])
		}
		putBuffer(b)
		if err != nil {
			l.fail(fmt.Errorf("sending datagrams: %w", err))
			return
		}
	}
	if l.hasFailed() {
		return // CloseWrite would look like a clean end
	}
	if err := l.session.CloseWrite(); err != nil {
		l.fail(fmt.Errorf("closing the session: %w", err))
	}
}

// finish ends the link cleanly: it still sends queued records, drops new ones, and
// gives the other end lingerMax to do the same.
func (l *link) finish() { l.end(nil, time.Now().Add(lingerMax)) }

// fail ends the link immediately with err.
func (l *link) fail(err error) { l.end(err, past) }

// end ends the link unless it has already ended, and sets a deadline for the rest of
// the session's I/O.
func (l *link) end(err error, until time.Time) {
	l.mu.Lock()
	first, session := !l.ended, l.session
	if first {
		l.ended, l.err = true, err
	}
	l.mu.Unlock()
	l.queue.end()
	if session != nil && (first || err != nil) {
		_ = session.SetDeadline(until) // fails only if the session has ended
	}
}

func (l *link) hasFailed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

func (l *link) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// recordReader splits a stream into records. It holds a buffer only while it has
// buffered data.
type recordReader struct {
	from       io.Reader
	lead       [16]byte // filled first, so that waiting for data needs no buffer
	buf        *buffer  // nil if nothing is read ahead
	start, end int      // bounds of the data read ahead
}

// next returns the next record, without its length, valid until the next call. It
// returns io.EOF only between two records.
func (r *recordReader) next() ([]byte, error) {
	for {
		if b := r.waiting(); len(b) >= 2 {
			if end := 2 + int(binary.BigEndian.Uint16(b)); end <= len(b) {
				r.start += end
				return b[2:end], nil
			}
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && r.end > r.start {
				err = io.ErrUnexpectedEOF
			}
			if err != io.EOF {
				err = fmt.Errorf("receiving datagrams: %w", err)
			}
			return nil, err
		}
	}
}

func (r *recordReader) waiting() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf[r.start:r.end]
}

// fill reads more data.
func (r *recordReader) fill() error {
	if r.start == r.end {
		r.release()
		n, err := r.from.Read(r.lead[:])
		if n == 0 {
			return err
		}
		r.buf = getBuffer()
		r.end = copy(r.buf[:], r.lead[:n])
		return nil // the next read returns the error, if any, again
	}
	r.end = copy(r.buf[:], r.buf[r.start:r.end])
	r.start = 0
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// release returns the buffer to the pool.
func (r *recordReader) release() {
	if r.buf != nil {
		putBuffer(r.buf)
	}
	r.buf, r.start, r.end = nil, 0, 0
}
