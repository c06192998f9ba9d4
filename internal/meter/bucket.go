// Package meter limits a group of streams to a number of bytes per second in each
// direction.
//
// Readers and writers take turns, a chunk at a time, so that a keystroke competing with
// many downloads waits for only one chunk of each.
package meter

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	chunkMin = 4 << 10
	chunkMax = 64 << 10
)

// Bucket is a token bucket. It is safe for concurrent use.
type Bucket struct{ lim *rate.Limiter }

// NewBucket returns a full bucket. perSecond 0 means no limit.
func NewBucket(perSecond, most int64) *Bucket {
	return &Bucket{rate.NewLimiter(limit(perSecond), int(most))}
}

// limit converts a rate to a rate.Limit; 0 means no limit.
func limit(perSecond int64) rate.Limit {
	if perSecond <= 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// NewBytes returns a bucket for streams with a burst of a tenth of a second's worth of bytes,
// but at least 64 KiB.
func NewBytes(perSecond int64) *Bucket { return NewBucket(perSecond, bytesMost(perSecond)) }

// bytesMost returns the burst of a bucket for streams.
func bytesMost(perSecond int64) int64 { return max(perSecond/10, chunkMax) }

// Set changes the rate and the burst. Callers already waiting are not affected.
func (b *Bucket) Set(perSecond, most int64) {
	limit := limit(perSecond)
	if b.lim.Limit() != limit || b.lim.Burst() != int(most) {
		b.lim.SetBurst(int(most)) // before the rate: without a burst, a rate blocks everything
		b.lim.SetLimit(limit)
	}
}

// SetBytes is Set for a bucket made by NewBytes.
func (b *Bucket) SetBytes(perSecond int64) { b.Set(perSecond, bytesMost(perSecond)) }

// Take takes one token and reports whether there was one.
func (b *Bucket) Take() bool { return b.lim.Allow() }

// chunk returns how many bytes a stream takes at a time: a thousandth of the bytes per
// second, between chunkMin and chunkMax.
func (b *Bucket) chunk() int {
	return int(min(max(b.lim.Limit()/1000, chunkMin), chunkMax))
}

// reserve takes n tokens, at most chunkMax. It returns how long to wait before using
// them, and a function that returns them to the bucket.
func (b *Bucket) reserve(n int) (wait time.Duration, cancel func()) {
	now := time.Now()
	r := b.lim.ReserveN(now, n)
	if !r.OK() { // the burst is below chunkMax, so this is not a bucket for streams
		return 0, func() {}
	}
	return r.DelayFrom(now), r.Cancel
}
