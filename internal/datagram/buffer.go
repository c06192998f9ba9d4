package datagram

import "sync"

// buffer is large enough for any record with its length, and for any datagram.
type buffer [2 + recordMax]byte

// buffers recycles buffers. A pool is a cache, not state.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer  { return buffers.Get().(*buffer) }
func putBuffer(b *buffer) { buffers.Put(b) }
