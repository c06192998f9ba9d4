// Package meter holds streams that belong together to a number of bytes per
// second, in each direction.
//
// Whoever has bytes to move waits for their share first, a chunk at a time and in
// turn, so that a keystroke beside many downloads waits for one chunk of each.
package meter

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	chunkMin = 4 << 10
	chunkMax = 64 << 10
)

// Bucket fills at a steady rate up to a bound. It may be used by any number of
// goroutines.
type Bucket struct{ lim *rate.Limiter }

// NewBucket makes a full bucket; perSecond 0: one that is never empty.
func NewBucket(perSecond, most int64) *Bucket {
	return &Bucket{rate.NewLimiter(limit(perSecond), int(most))}
}

func limit(perSecond int64) rate.Limit {
	if perSecond <= 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// NewBytes makes a bucket for streams: it holds a tenth of a second's bytes, and 64
// KiB at least.
func NewBytes(perSecond int64) *Bucket { return NewBucket(perSecond, bytesMost(perSecond)) }

func bytesMost(perSecond int64) int64 { return max(perSecond/10, chunkMax) }

// Set changes the rate and the bound. Who waits already does so as before.
func (b *Bucket) Set(perSecond, most int64) {
	limit := limit(perSecond)
	if b.lim.Limit() != limit || b.lim.Burst() != int(most) {
		b.lim.SetBurst(int(most)) // first: a rate with no room would let nothing through
		b.lim.SetLimit(limit)
	}
}

// SetBytes is Set for a bucket of NewBytes.
func (b *Bucket) SetBytes(perSecond int64) { b.Set(perSecond, bytesMost(perSecond)) }

// Take takes one out, if there is one.
func (b *Bucket) Take() bool { return b.lim.Allow() }

// chunk is how many bytes one stream takes at a time: a thousandth of what comes in
// a second.
func (b *Bucket) chunk() int {
	return int(min(max(b.lim.Limit()/1000, chunkMin), chunkMax))
}

// reserve takes n out, at most chunkMax, and says how long to wait before they are
// used, and how to put them back instead.
func (b *Bucket) reserve(n int) (wait time.Duration, cancel func()) {
	now := time.Now()
	r := b.lim.ReserveN(now, n)
	if !r.OK() { // the bound is below chunkMax: not a bucket for streams
		return 0, func() {}
	}
	return r.DelayFrom(now), r.Cancel
}
