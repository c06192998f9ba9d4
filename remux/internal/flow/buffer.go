package flow

import "sync"

// Chunks come in three sizes, so that a session receiving keystrokes does not hold
// buffers of the size a download needs.
var chunkSizes = [...]int{2 << 10, 16 << 10, 64 << 10}

// chunkPools hold recycled chunks. They are caches, not state.
var chunkPools [len(chunkSizes)]sync.Pool

// Chunk is a piece of a buffer; data[r:w] is unread.
type Chunk struct {
	next *Chunk
	data []byte
	r, w int
	size int // index in chunkSizes
}

func newChunk(n int) *Chunk {
	size := 0
	for size < len(chunkSizes)-1 && chunkSizes[size] < n {
		size++
	}
	if k, ok := chunkPools[size].Get().(*Chunk); ok {
		return k
	}
	return &Chunk{data: make([]byte, chunkSizes[size]), size: size}
}

// Bytes returns the chunk's unread bytes.
func (k *Chunk) Bytes() []byte { return k.data[k.r:k.w] }

// Recycle returns the chunk to its pool.
func (k *Chunk) Recycle() {
	k.next, k.r, k.w = nil, 0, 0
	chunkPools[k.size].Put(k)
}

// Buffer is a queue of bytes that uses memory only while it is not empty. Its owner does
// the locking.
type Buffer struct {
	head, tail *Chunk
	Len        int
}

// Append copies p to the end of the queue.
func (b *Buffer) Append(p []byte) {
	b.Len += len(p)
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.data) {
			// The number of bytes already queued is the best guess at how many will
			// follow.
			k := newChunk(max(len(p), b.Len/2))
			if b.tail == nil {
				b.head = k
			} else {
				b.tail.next = k
			}
			b.tail = k
		}
		n := copy(b.tail.data[b.tail.w:], p)
		b.tail.w += n
		p = p[n:]
	}
}

// Join appends the queue of another Buffer, which is empty afterwards.
func (b *Buffer) Join(other *Buffer) {
	if other.head == nil {
		return
	}
	if b.tail == nil {
		b.head = other.head
	} else {
		b.tail.next = other.head
	}
	b.tail = other.tail
	b.Len += other.Len
	*other = Buffer{}
}

// Read moves bytes from the front of the queue to p and returns how many.
func (b *Buffer) Read(p []byte) int {
	n := 0
	for n < len(p) && b.head != nil {
		k := b.head
		m := copy(p[n:], k.data[k.r:k.w])
		k.r += m
		n += m
		if k.r == k.w {
			b.drop()
		}
	}
	b.Len -= n
	return n
}

// Take removes the first chunk from the queue and returns it, or nil if the queue is
// empty. The caller must recycle it.
func (b *Buffer) Take() *Chunk {
	k := b.head
	if k == nil {
		return nil
	}
	b.head = k.next
	if b.head == nil {
		b.tail = nil
	}
	k.next = nil
	b.Len -= k.w - k.r
	return k
}

func (b *Buffer) drop() {
	k := b.head
	b.head = k.next
	if b.head == nil {
		b.tail = nil
	}
	k.Recycle()
}

// Discard drops all waiting bytes and returns how many there were.
func (b *Buffer) Discard() int {
	n := b.Len
	for b.head != nil {
		b.drop()
	}
	b.Len = 0
	return n
}
