package remux

import "sync"

// Chunks come in three sizes, so that a session which receives keystrokes does not hold
// the buffers that a download needs.
var chunkSizes = [...]int{2 << 10, 16 << 10, 64 << 10}

// chunkPools recycle chunks; a pool is a cache, not state.
var chunkPools [len(chunkSizes)]sync.Pool

// chunk is a piece of a buffer: data[r:w] waits to be read.
type chunk struct {
	next *chunk
	data []byte
	r, w int
	size int // index in chunkSizes
}

func newChunk(n int) *chunk {
	size := 0
	for size < len(chunkSizes)-1 && chunkSizes[size] < n {
		size++
	}
	if k, ok := chunkPools[size].Get().(*chunk); ok {
		return k
	}
	return &chunk{data: make([]byte, chunkSizes[size]), size: size}
}

func (k *chunk) recycle() {
	k.next, k.r, k.w = nil, 0, 0
	chunkPools[k.size].Put(k)
}

// buffer is a queue of bytes that takes memory only while bytes wait. Its
// owner locks.
type buffer struct {
	head, tail *chunk
	len        int
}

func (b *buffer) append(p []byte) {
	b.len += len(p)
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.data) {
			// The bytes that wait already are the best guess of how many will come.
			k := newChunk(max(len(p), b.len/2))
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

func (b *buffer) read(p []byte) int {
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
	b.len -= n
	return n
}

// take removes the first chunk with bytes from the queue and returns it, or nil if
// nothing waits. The caller recycles it.
func (b *buffer) take() *chunk {
	k := b.head
	if k == nil {
		return nil
	}
	b.head = k.next
	if b.head == nil {
		b.tail = nil
	}
	k.next = nil
	b.len -= k.w - k.r
	return k
}

func (b *buffer) drop() {
	k := b.head
	b.head = k.next
	if b.head == nil {
		b.tail = nil
	}
	k.recycle()
}

// discard drops all waiting bytes and returns how many there were.
func (b *buffer) discard() int {
	n := b.len
	for b.head != nil {
		b.drop()
	}
	b.len = 0
	return n
}
