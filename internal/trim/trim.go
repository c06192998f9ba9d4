// Package trim gives memory back to the system when much of it has become free at once.
package trim

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// When much has become free at once it is given back to the system: what is in the
// pools of buffers outlives two collections, and an idle process collects every two
// minutes, so the memory of a hundred downloads that were never read stayed resident
// for five.
const (
	trimAfter = 10 * time.Second // more is likely to become free until then
	trimEvery = 20 * time.Second // a collection is not free either
	// trimBytes or trimConns less than there were is much.
	trimBytes = 16 << 20
	trimConns = 32
	// trimMin is how much the process holds at least before it is worth the while.
	trimMin = 24 << 20
)

// Trimmer gives memory back. It looks only after connections have ended, and has no
// timer otherwise. Its methods are safe for concurrent use.
type Trimmer struct {
	// Static. conns is how many connections are served, bytes how many wait for
	// applications, and the most there were since it was last asked.
	conns func() int
	bytes func() (now, peak int64)
	trim  func() bool // gives memory back; false if it was not worth the while

	armed atomic.Bool // the timer is set

	mu        sync.Mutex
	timer     *time.Timer    // guarded by mu
	running   sync.WaitGroup // the timer's function
	over      bool           // guarded by mu
	last      time.Time      // guarded by mu; when memory was last given back
	peakConns int            // guarded by mu; since then
	peakBytes int64          // guarded by mu; since then
}

// New returns a Trimmer that gives memory back when the connections, or the bytes that
// wait for applications, have become few. bytes also returns the most there were since
// it was last called. Close must follow.
func New(conns func() int, bytes func() (now, peak int64)) *Trimmer {
	return NewWith(conns, bytes, trimMemory)
}

// NewWith is New with another way of giving memory back, which returns false if that
// was not worth the while.
func NewWith(conns func() int, bytes func() (now, peak int64), trim func() bool) *Trimmer {
	return &Trimmer{conns: conns, bytes: bytes, trim: trim}
}

// Began notes that there are n connections.
func (t *Trimmer) Began(n int) {
	t.mu.Lock()
	t.peakConns = max(t.peakConns, n)
	t.mu.Unlock()
}

// Ended notes that a connection has ended.
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

// look gives memory back if much has become free.
func (t *Trimmer) look() {
	t.armed.Store(false) // first: what ends from now on is looked at again
	if !t.muchIsFree(t.conns()) || !t.trim() {
		return
	}
	t.mu.Lock()
	t.last = time.Now()
	t.mu.Unlock()
}

// muchIsFree reports whether there was much more than now since it last said so.
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

// Close ends the looking and waits for it.
func (t *Trimmer) Close() {
	t.mu.Lock()
	t.over = true
	if t.timer != nil && t.timer.Stop() {
		t.running.Done()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// trimMemory gives what is free back to the system, if the process holds much.
func trimMemory() bool {
	held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(held)
	if held[0].Value.Uint64()-held[1].Value.Uint64() < trimMin {
		return false
	}
	runtime.GC() // what the pools hold survives one collection
	debug.FreeOSMemory()
	return true
}
