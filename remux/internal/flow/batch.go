package flow

import "sync"

// smallBatches and largeBatches recycle the writer's buffers: an idle conn holds
// none, one on a slow line a small one. A pool is a cache, not state.
var (
	smallBatches = sync.Pool{New: func() any { return &Batch{make([]byte, BatchMin), false} }}
	largeBatches = sync.Pool{New: func() any { return &Batch{make([]byte, BatchMax), true} }}
)

// Batch is a buffer for the frames of one write.
type Batch struct {
	Data  []byte
	large bool
}

// NewBatch returns a buffer that has room for at least size bytes, if a Pacer set size.
func NewBatch(size int) *Batch {
	if size > BatchMin {
		return largeBatches.Get().(*Batch)
	}
	return smallBatches.Get().(*Batch)
}

// Recycle gives the buffer up.
func (b *Batch) Recycle() {
	if b.large {
		largeBatches.Put(b)
	} else {
		smallBatches.Put(b)
	}
}
