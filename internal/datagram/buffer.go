package datagram

import "sync"

// buffer holds the largest record including its length, or the largest datagram.
type buffer [2 + recordMax]byte

// buffers recycles buffers; a pool is a cache, not state.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer  { return buffers.Get().(*buffer) }
func putBuffer(b *buffer) { buffers.Put(b) }
