//go:build !race

package conn

import (
	"testing"

	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// This test runs only without the race detector, under which a sync.Pool drops items at
// random.

// TestFramesAllocateNothing checks that the work done for every frame does not allocate.
// Each op handles several frames and may not allocate even once.
func TestFramesAllocateNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T) (op func(), check func(ops int))
	}{
		{"write, smallest quantum", func(t *testing.T) (func(), func(int)) { return writeOp(t, 0) }},
		{"write, largest quantum", func(t *testing.T) (func(), func(int)) { return writeOp(t, flow.FramesMax) }},
		{"write directly", writeNowOp},
		{"read, deliver", deliverOp},
		{"read, borrow", borrowOp},
		{"read WINDOW", windowOp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op, check := tt.make(t)
			const ops = 500
			// AllocsPerRun calls op an extra time before it counts, and rounds down.
			if n := testing.AllocsPerRun(ops, op); n != 0 {
				t.Errorf("%v allocations per op, want none", n)
			}
			check(ops + 1)
		})
	}
}

func writeOp(t *testing.T, large int) (op func(), check func(ops int)) {
	w := newFrameWriter(t, large)
	return func() { w.batch(t) }, func(int) {}
}

// writeNowOp returns an op of small writes, which a lone session writes directly.
func writeNowOp(t *testing.T) (op func(), check func(ops int)) {
	to := &nowSink{}
	_, s := sender(t, to)
	const writes = 8
	key := make([]byte, 64)
	op = func() {
		for range writes {
			if _, err := s.Write(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	op() // the first frame opens the session and is followed by its WINDOW
	before := to.wrote
	return op, func(ops int) {
		if got, want := to.wrote-before, ops*writes*(frame.HeaderLen+len(key)); got != want {
			t.Errorf("%d bytes written, want %d", got, want)
		}
	}
}

func deliverOp(t *testing.T) (op func(), check func(ops int)) {
	r := newFrameReader(t)
	r.deliver(t)
	return func() { r.feed(t, r.in) }, func(ops int) { r.check(t, ops) }
}

func borrowOp(t *testing.T) (op func(), check func(ops int)) {
	r := newFrameReader(t)
	op = func() {
		r.feed(t, r.in)
		r.borrow(t)
	}
	return op, func(ops int) { r.check(t, ops) }
}

// windowOp returns an op that reads WINDOW frames, which a receiver of data sends.
func windowOp(t *testing.T) (op func(), check func(ops int)) {
	r := newFrameReader(t)
	const frames = 8
	var limit uint64 = 1 << 20
	var in []byte
	op = func() {
		in = in[:0]
		for range frames {
			limit++
			in = frame.AppendWindow(in, r.s.origin.Number, limit)
		}
		r.feed(t, in)
	}
	return op, func(int) {
		if r.s.sendMax != limit {
			t.Errorf("%d bytes may be sent, want %d", r.s.sendMax, limit)
		}
	}
}
