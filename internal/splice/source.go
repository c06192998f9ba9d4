package splice

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// bufferSize is one read: large enough for bulk to cost few system calls, and
// four times what remux sends as one frame in one TLS record.
const bufferSize = 4 * (16<<10 - 4)

// buffers are kept between reads by no direction: each takes one when there is
// something to read and gives it back when that has been written.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// source reads from one end, with a buffer held only while there are bytes in it.
// It is owned by the goroutine of its direction.
type source struct {
	conn   net.Conn
	sys    syscall.Conn       // nil: conn has none
	waiter Waiter             // nil: conn is none
	lender Lender             // nil: conn is none
	lent   bool               // bytes of the lender are held
	raw    syscall.RawConn    // nil: sys has not given it (yet)
	try    func(uintptr) bool // s.tryRead, made once

	buf *[bufferSize]byte // nil: none is held
	n   int               // result of the last tryRead
	err error             // likewise
}

func newSource(c net.Conn) *source {
	s := &source{conn: c}
	if rawReads {
		s.sys, _ = c.(syscall.Conn)
		s.try = s.tryRead
	}
	s.waiter, _ = c.(Waiter)
	s.lender, _ = c.(Lender)
	return s
}

// next waits for bytes and returns them; they are valid until release. Bytes may
// come together with an error.
func (s *source) next() ([]byte, error) {
	if s.lender != nil {
		b, err := s.lender.Borrow()
		if !errors.Is(err, errors.ErrUnsupported) {
			s.lent = err == nil
			return b, err
		}
		s.lender = nil
	}
	if s.raw == nil && s.sys != nil {
		// A connection that still has bytes of its own answers with an error,
		// and hands its socket out when those have been read.
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
	n, err := s.conn.Read(s.buf[:])
	return s.buf[:n], err
}

func (s *source) hold() { s.buf = buffers.Get().(*[bufferSize]byte) }

// release gives the buffer back, if one is held.
func (s *source) release() {
	if s.lent {
		s.lender.GiveBack()
		s.lent = false
	}
	if s.buf != nil {
		buffers.Put(s.buf)
		s.buf = nil
	}
}
