package flow

import (
	"sync"

	"tunnels/remux/internal/frame"
)

// Inbox is the buffer that a conn's reader reads into. It is small while little data
// arrives, so that an idle conn uses little memory, and grows when more arrives at a
// time.
type Inbox struct {
	own  []byte // buffer of the smallest size
	kind int    // the size in use: index in inboxSizes
	lent *[]byte
}

// inboxSizes are the buffer sizes: one for requests, WINDOWs and keystrokes, one for
// ordinary traffic, and one for bulk data, where larger reads cost less. The larger two
// are multiples of a TLS record's payload plus room for the rest of the previous read.
var inboxSizes = [...]int{512, 65 << 10, 257 << 10}

// inboxPools hold recycled buffers of the larger sizes. They are caches, not state.
var inboxPools [len(inboxSizes)]sync.Pool

// NewInbox returns an inbox of the smallest size.
func NewInbox() Inbox { return Inbox{own: make([]byte, inboxSizes[0])} }

// First returns the buffer for the first read.
func (in *Inbox) First() []byte { return in.own }

// Release frees the buffer in use.
func (in *Inbox) Release() { in.resize(0) }

// Next returns the buffer for the next read, after a read into buf that returned n bytes.
// It copies rest, the bytes not yet processed, to the start of the buffer and returns
// their number.
func (in *Inbox) Next(buf []byte, n int, rest []byte) ([]byte, int) {
	kind := in.kind
	switch {
	case n+len(rest) > len(buf)-16<<10 && n >= len(buf)/2:
		kind = min(kind+1, len(inboxSizes)-1)
	case n < inboxSizes[0] && len(rest) <= frame.HeaderLen:
		kind = 0
	case kind > 1 && n < inboxSizes[1]/2:
		kind = 1
	}
	if kind == 0 && len(rest) > inboxSizes[0]/2 {
		kind = 1
	}
	if kind == in.kind {
		return buf, copy(buf, rest)
	}
	var left [frame.HeaderLen + frame.MaxControl]byte // rest is shorter than a control frame
	have := copy(left[:], rest)
	buf = in.resize(kind)
	return buf, copy(buf, left[:have])
}

// resize returns the buffer in use to its pool and gets one of a different size.
func (in *Inbox) resize(kind int) []byte {
	if in.lent != nil {
		inboxPools[in.kind].Put(in.lent)
		in.lent = nil
	}
	in.kind = kind
	if kind == 0 {
		return in.own
	}
	if b, ok := inboxPools[kind].Get().(*[]byte); ok {
		in.lent = b
	} else {
		b := make([]byte, inboxSizes[kind])
		in.lent = &b
	}
	return *in.lent
}
