// Package trim returns memory to the system when a lot of it is freed at once.
package trim

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Without trimming, buffers in sync.Pools survive two garbage collections, and an idle
// process runs one every two minutes. Memory used by a hundred unread downloads stayed
// resident for five minutes.
const (
	trimAfter = 10 * time.Second // delay, because more is likely to be freed soon
	trimEvery = 20 * time.Second // minimum interval, because a collection is expensive
	// A drop by trimBytes or trimConns is enough to trim.
	trimBytes = 16 << 20
	trimConns = 32
	// trimMin is how much memory the process must hold for trimming to be worthwhile.
	trimMin = 24 << 20
)

// Trimmer returns memory to the system. It starts a timer only after connections have
// ended. Its methods are safe for concurrent use.
type Trimmer struct {
	// Immutable after creation. conns returns the number of connections. bytes returns
	// the number of bytes waiting for applications, now and at their peak since the
	// last call.
	conns func() int
	bytes func() (now, peak int64)
	trim  func() bool // returns memory; false if that was not worthwhile

	armed atomic.Bool // a call of look is scheduled

	mu        sync.Mutex
	timer     *time.Timer    // guarded by mu
	running   sync.WaitGroup // timer calls pending or running
	over      bool           // guarded by mu; Close has been called
	last      time.Time      // guarded by mu; when memory was last returned
	peakConns int            // guarded by mu; maximum since muchIsFree last returned true
	peakBytes int64          // guarded by mu; maximum since muchIsFree last returned true
}

// New returns a Trimmer that returns memory after a sharp drop in the number of
// connections or in the bytes waiting for applications. bytes returns the latter, now
// and at its peak since the last call. The caller must call Close.
func New(conns func() int, bytes func() (now, peak int64)) *Trimmer {
	return NewWith(conns, bytes, trimMemory)
}

// NewWith is like New, but returns memory by calling trim, which returns false if that
// was not worthwhile.
func NewWith(conns func() int, bytes func() (now, peak int64), trim func() bool) *Trimmer {
	return &Trimmer{conns: conns, bytes: bytes, trim: trim}
}

// Began records that a connection has begun, making n in total.
func (t *Trimmer) Began(n int) {
	t.mu.Lock()
	t.peakConns = max(t.peakConns, n)
	t.mu.Unlock()
}

// Ended records that a connection has ended.
func (t *Trimmer) Ended() {
	if t.armed.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !t.armed.CompareAndSwap(false, true) {
		return
	}
	t.running.Add(1)
	t.timer = time.AfterFunc(max(trimAfter, time.Until(t.last.Add(trimEvery))), func() {
		defer t.running.Done()
		t.look()
	})
}

// look returns memory if a lot has been freed.
func (t *Trimmer) look() {
	t.armed.Store(false) // first, so that any connection ending from now on starts the timer again
	if !t.muchIsFree(t.conns()) || !t.trim() {
		return
	}
	t.mu.Lock()
	t.last = time.Now()
	t.mu.Unlock()
}

// muchIsFree reports whether connections or bytes have dropped sharply since it last
// returned true.
func (t *Trimmer) muchIsFree(conns int) bool {
	bytes, peak := t.bytes()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peakBytes = max(t.peakBytes, peak)
	few := conns <= t.peakConns/2 && t.peakConns-conns >= trimConns
	if !few && t.peakBytes-bytes < trimBytes {
		return false
	}
	t.peakConns, t.peakBytes = conns, bytes
	return true
}

// Close stops the timer and waits for a running call to end.
func (t *Trimmer) Close() {
	t.mu.Lock()
	t.over = true
	if t.timer != nil && t.timer.Stop() {
		t.running.Done()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// trimMemory returns free memory to the system if the process holds enough.
func trimMemory() bool {
	held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(held)
	if held[0].Value.Uint64()-held[1].Value.Uint64() < trimMin {
		return false
	}
	runtime.GC() // FreeOSMemory collects again, because pools survive a single collection
	debug.FreeOSMemory()
	return true
}
