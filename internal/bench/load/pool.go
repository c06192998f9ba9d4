// Package load is the client's side of the benchmark: it dials through a SOCKS5 proxy
// and moves bytes whose every loss or change is noticed.
package load

import (
	"bytes"
	"math/rand/v2"
)

const (
	// ChunkSize is the size of reads and writes of the load and the origin.
	ChunkSize = 256 << 10
	// BadContent is the sink's count if the content was not what was sent.
	BadContent = ^uint64(0)

	poolSize = 4 << 20
	sampled  = 32 // bytes compared at the start of each read
)

// Pool holds incompressible bytes, generated once because generating them costs more
// than sending them. A stream repeats the pool, so that both ends know the byte at each
// offset.
type Pool []byte

// NewPool returns the same bytes in every process.
func NewPool() Pool {
	p := make(Pool, poolSize)
	rand.NewChaCha8([32]byte{'t', 'u', 'n', 'n', 'e', 'l', 's'}).Read(p)
	return p
}

// At returns at most n bytes of the stream from offset on.
func (p Pool) At(offset int64, n int) []byte {
	i := int(offset % int64(len(p)))
	return p[i:min(i+n, len(p))]
}

// Differs returns the offset of the first byte of b, received at offset, that differs
// from the stream, or -1 if none of those compared does.
func (p Pool) Differs(offset int64, b []byte) int64 {
	b = b[:min(len(b), sampled)]
	want := p.At(offset, len(b))
	b = b[:len(want)]
	if bytes.Equal(b, want) {
		return -1
	}
	for i := range b {
		if b[i] != want[i] {
			return offset + int64(i)
		}
	}
	return -1
}
