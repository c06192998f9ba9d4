package flow

import "sync"

// smallBatches and largeBatches hold recycled write buffers, so that an idle conn needs
// none and one on a slow line needs only a small one. They are caches, not state.
var (
	smallBatches = sync.Pool{New: func() any { return &Batch{make([]byte, BatchMin), false} }}
	largeBatches = sync.Pool{New: func() any { return &Batch{make([]byte, BatchMax), true} }}
)

// Batch is a buffer for the frames of one write.
type Batch struct {
	Data  []byte
	large bool
}

// NewBatch returns a buffer with room for at least size bytes, if size was set by a
// Pacer.
func NewBatch(size int) *Batch {
	if size > BatchMin {
		return largeBatches.Get().(*Batch)
	}
	return smallBatches.Get().(*Batch)
}

// Recycle returns the buffer to its pool.
func (b *Batch) Recycle() {
	if b.large {
		largeBatches.Put(b)
	} else {
		smallBatches.Put(b)
	}
}
