// Package load is the client side of the benchmark: it dials through a SOCKS5 proxy and
// transfers bytes, detecting any that are lost or altered.
package load

import (
	"bytes"
	"math/rand/v2"
)

const (
	// ChunkSize is the size of reads and writes in the load and the origin.
	ChunkSize = 256 << 10
	// BadContent is the count that the sink reports if it received the wrong content.
	BadContent = ^uint64(0)

	poolSize = 4 << 20
	sampled  = 32 // bytes compared at the start of each read
)

// Pool holds incompressible bytes, generated once because generating them costs more
// than sending them. A stream repeats the pool, so that both ends know the byte at each
// offset.
type Pool []byte

// NewPool returns a pool, with the same bytes in every process.
func NewPool() Pool {
	p := make(Pool, poolSize)
	rand.NewChaCha8([32]byte{'t', 'u', 'n', 'n', 'e', 'l', 's'}).Read(p)
	return p
}

// At returns up to n bytes of the stream, starting at offset.
func (p Pool) At(offset int64, n int) []byte {
	i := int(offset % int64(len(p)))
	return p[i:min(i+n, len(p))]
}

// Differs returns the offset of the first byte of b, received at offset, that differs
// from the stream, or -1 if all the bytes compared match.
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
