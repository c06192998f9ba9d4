package splice

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// record is what remux sends as one frame in one TLS record. A read of a
// multiple of it leaves no remainder, which would cost as much as a whole one.
const record = 16<<10 - 4

// bufferSizes are for one read each: one for ordinary traffic and, as bulk costs
// less the more of it moves at a time, one for who has just filled the other.
var bufferSizes = [...]int{4 * record, 16 * record}

// bufferPools recycle the buffers, of which no direction keeps one between reads:
// each takes one when there is something to read and gives it back when that has
// been written. A pool is a cache, not state.
var bufferPools [len(bufferSizes)]sync.Pool

// largeMax is how many of the large ones may be held at a time, by all: the bytes in
// them may wait for a peer that grants nothing, for as long as it likes. The count
// belongs to the pools.
const largeMax = 64

var largeHeld atomic.Int32

type buffer struct {
	data []byte
	size int // index in bufferSizes
}

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

	size int     // of the next buffer: index in bufferSizes
	buf  *buffer // nil: none is held
	n    int     // result of the last read
	err  error   // likewise
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
	s.n, s.err = s.conn.Read(s.buf.data)
	s.resize()
	return s.buf.data[:s.n], s.err
}

// resize picks the next buffer by how far the last read filled its own.
func (s *source) resize() {
	switch {
	case s.n == len(s.buf.data):
		s.size = len(bufferSizes) - 1
	case s.n <= bufferSizes[0]:
		s.size = 0
	}
}

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

// release gives the buffer back, if one is held.
func (s *source) release() {
	if s.lent {
		s.lender.GiveBack()
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
