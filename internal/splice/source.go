package splice

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// record is the payload size that remux sends as one frame in one TLS record. Buffer
// sizes are multiples of it, because a partial record costs as much as a full one.
const record = 16<<10 - 4

// bufferSizes lists the sizes of read buffers. A read that filled its buffer is
// followed by one with the large size, because bulk transfer is cheaper in larger
// pieces.
var bufferSizes = [...]int{4 * record, 16 * record}

// bufferPools recycles the buffers. A direction gets one when there is data to read and
// returns it once the data is written, so it holds none while idle. A pool is only a
// cache, so this is not package-level state.
var bufferPools [len(bufferSizes)]sync.Pool

// largeMax limits how many large buffers the process may hold at once, because a peer
// that accepts no data can make its join hold one indefinitely.
const largeMax = 64

// largeHeld counts the large buffers in use. It belongs to bufferPools.
var largeHeld atomic.Int32

// buffer is a read buffer from bufferPools.
type buffer struct {
	data []byte
	size int // index in bufferSizes
}

// source reads from one end and holds a buffer only while it contains data. Its
// direction's goroutine owns it.
type source struct {
	conn   net.Conn
	sys    syscall.Conn       // conn as a syscall.Conn, or nil if it is not one
	waiter Waiter             // conn as a Waiter, or nil if it is not one
	peeker Peeker             // conn as a Peeker, or nil if it is not one
	lent   bool               // holding bytes borrowed from peeker
	raw    syscall.RawConn    // the socket of sys, or nil if not yet available
	try    func(uintptr) bool // s.tryRead, stored so as to allocate it only once

	size int     // next buffer's size, as an index in bufferSizes
	buf  *buffer // the buffer held, or nil
	n    int     // bytes returned by the last read
	err  error   // error of the last read
}

// newSource returns a source that reads from c.
func newSource(c net.Conn) *source {
	s := &source{conn: c}
	if rawReads {
		s.sys, _ = c.(syscall.Conn)
		s.try = s.tryRead
	}
	s.waiter, _ = c.(Waiter)
	s.peeker, _ = c.(Peeker)
	return s
}

// next waits for data and returns it; the data is valid until release. It may return
// data together with an error.
func (s *source) next() ([]byte, error) {
	if s.peeker != nil {
		b, err := s.peeker.Peek()
		if !errors.Is(err, errors.ErrUnsupported) {
			s.lent = err == nil
			return b, err
		}
		s.peeker = nil
	}
	if s.raw == nil && s.sys != nil {
		// A connection that still has buffered bytes returns an error here until they
		// have been read.
		if raw, err := s.sys.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	if s.raw != nil {
		return s.nextRaw()
	}
	if s.waiter != nil {
		if err := s.waiter.WaitReadable(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
	}
	s.hold()
	s.n, s.err = s.conn.Read(s.buf.data)
	s.resize()
	return s.buf.data[:s.n], s.err
}

// resize chooses the next buffer's size based on how much the last read returned.
func (s *source) resize() {
	switch {
	case s.n == len(s.buf.data):
		s.size = len(bufferSizes) - 1
	case s.n <= bufferSizes[0]:
		s.size = 0
	}
}

// hold takes a buffer from the pool, a small one if too many large ones are in use.
func (s *source) hold() {
	if s.size > 0 && largeHeld.Add(1) > largeMax {
		largeHeld.Add(-1)
		s.size = 0
	}
	if b, ok := bufferPools[s.size].Get().(*buffer); ok {
		s.buf = b
	} else {
		s.buf = &buffer{make([]byte, bufferSizes[s.size]), s.size}
	}
}

// release returns the buffer to its pool, or returns borrowed bytes to their Peeker.
func (s *source) release() {
	if s.lent {
		s.peeker.Discard()
		s.lent = false
	}
	if s.buf != nil {
		if s.buf.size > 0 {
			largeHeld.Add(-1)
		}
		bufferPools[s.buf.size].Put(s.buf)
		s.buf = nil
	}
}
