package conn

import (
	"math"
	"net"
	"testing"

	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// The paths that every frame takes, at one end alone, without goroutines or system
// calls, so that what these benchmarks say is about frames. Those of package remux are
// of both ends.

// sink is the lower connection of a full peer, which takes all that is written to
// it. Nothing else is called but RemoteAddr.
type sink struct {
	net.Conn
	wrote int // bytes
}

func (k *sink) Write(p []byte) (int, error) {
	k.wrote += len(p)
	return len(p), nil
}

func (k *sink) RemoteAddr() net.Addr { return nil }

func (k *sink) NegotiatedProtocol() string { return Protocol }

// nowSink is one that a session's Write may write to by itself.
type nowSink struct{ sink }

func (k *nowSink) CanWriteNow() bool { return true }

func (k *nowSink) WriteNow(p []byte) (bool, error) {
	_, err := k.Write(p)
	return true, err
}

func (k *nowSink) Flush() error { return nil }

// sender is a session that its peer lets send for ever, and its conn, which is not
// run: the caller alone writes.
func sender(t testing.TB, nc net.Conn) (*Conn, *Session) {
	t.Helper()
	c := New(nc, testConfig(), true, nil, alone{})
	s, err := c.TryOpen()
	if err != nil {
		t.Fatal(err)
	}
	s.sendMax = math.MaxUint64
	if err := c.writeBatch(); err != nil { // HELLO and PING
		t.Fatal(err)
	}
	return c, s
}

// frameWriter is a session that always has bytes to send.
type frameWriter struct {
	c       *Conn
	s       *Session
	to      *sink
	payload []byte
}

// newFrameWriter makes one whose quantum is so many large frames; 0 means one
// record.
func newFrameWriter(t testing.TB, large int) *frameWriter {
	to := &sink{}
	c, s := sender(t, to)
	c.out.pacer.Wrote(0, math.MaxInt64) // the counting never ends: the quantum stays
	c.out.pacer.Quantum = max(flow.RecordFrame, large*flow.LargeFrame)
	c.out.pacer.Batch = max(flow.BatchMin, large*64<<10+flow.BatchRoom)
	c.out.sched.quantum = c.out.pacer.Quantum
	w := &frameWriter{c, s, to, make([]byte, 4*flow.BatchMax)}
	w.batch(t) // the first one opens the session and has its WINDOW
	return w
}

// batch writes one full batch.
func (w *frameWriter) batch(t testing.TB) {
	w.c.mu.Lock()
	if len(w.s.wbuf) < flow.BatchMax {
		w.s.wbuf = w.payload
	}
	w.c.readyLocked(w.s)
	w.c.mu.Unlock()
	before := w.to.wrote
	err := w.c.writeBatch()
	if n := w.to.wrote - before; err != nil || n < w.c.out.pacer.Batch-flow.BatchRoom {
		t.Fatalf("a batch of %d bytes, %v, want one of %d", n, err, w.c.out.pacer.Batch)
	}
}

func BenchmarkFrameWrite(b *testing.B) {
	for _, bm := range []struct {
		name  string
		large int
	}{{"smallest", 0}, {"largest", flow.FramesMax}} {
		b.Run(bm.name, func(b *testing.B) {
			w := newFrameWriter(b, bm.large)
			wrote, sent := w.to.wrote, w.s.sent
			b.ReportAllocs()
			for b.Loop() {
				w.batch(b)
			}
			payload := int(w.s.sent - sent)
			frames := (w.to.wrote - wrote - payload) / frame.HeaderLen
			b.SetBytes(int64(payload / b.N))
			b.ReportMetric(float64(frames)/float64(b.N), "frames/op")
		})
	}
}

// framesRead is how many frames, each a record long, come with one read. All of
// them together are less than what a window of the first size leaves at any time:
// a peer need not wait for a WINDOW between two reads.
const framesRead = 8

// frameReader is a session of the peer's, and what the peer sends on it.
type frameReader struct {
	c     *Conn
	s     *Session
	split demux
	in    []byte // frames, as read from the lower connection
	got   int    // payload that the application has read
}

func newFrameReader(t testing.TB) *frameReader {
	const number = 1
	r := &frameReader{c: New(&sink{}, testConfig(), false, backlog.NewQueue(), alone{})}
	h := frame.Hello{Version: frame.Version, Conn: 1, Window: frame.Floor, Sessions: frame.LastID, Frame: frame.MaxPayload}
	r.feed(t, frame.AppendOpen(frame.AppendHello(nil, h), number))
	s, err := r.c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.s = s.(*Session)
	for range framesRead {
		r.in = frame.AppendHeader(r.in, number, flow.RecordFrame)
		r.in = append(r.in, make([]byte, flow.RecordFrame)...)
	}
	return r
}

// feed has p handled as readLoop does, and writes what that makes due.
func (r *frameReader) feed(t testing.TB, p []byte) {
	used, verr := r.c.feed(&r.split, p)
	r.split.flush()
	if verr != nil || used != len(p) {
		t.Fatalf("%d of %d bytes used, %v", used, len(p), verr)
	}
	if err := r.c.writeBatch(); err != nil {
		t.Fatal(err)
	}
}

// deliver has what comes handed to a sink.
func (r *frameReader) deliver(t testing.TB) {
	if err := r.s.Deliver(takeEach(&r.got)); err != nil {
		t.Fatal(err)
	}
}

// takeEach is a sink that takes all, and adds to got how much that was.
func takeEach(got *int) func(pieces [][]byte) int {
	return func(pieces [][]byte) int {
		n := 0
		for _, p := range pieces {
			n += len(p)
		}
		*got += n
		return n
	}
}

// borrow reads all that waits.
func (r *frameReader) borrow(t testing.TB) {
	for left := framesRead * flow.RecordFrame; left > 0; {
		p, err := r.s.Borrow()
		if err != nil {
			t.Fatal(err)
		}
		left -= len(p)
		r.got += len(p)
		r.s.GiveBack()
	}
}

// check wants that all of so many reads has arrived: a session that was reset for
// going beyond its window takes nothing, and takes it fast.
func (r *frameReader) check(t testing.TB, reads int) {
	t.Helper()
	if want := reads * framesRead * flow.RecordFrame; r.got != want {
		t.Errorf("%d bytes arrived, want %d", r.got, want)
	}
}

func BenchmarkFrameRead(b *testing.B) {
	b.Run("deliver", func(b *testing.B) {
		r := newFrameReader(b)
		r.deliver(b)
		r.bench(b, func() {})
	})
	b.Run("borrow", func(b *testing.B) {
		r := newFrameReader(b)
		r.bench(b, func() { r.borrow(b) })
	})
}

// bench handles one read after the other, each followed by read.
func (r *frameReader) bench(b *testing.B, read func()) {
	b.ReportAllocs()
	b.SetBytes(framesRead * flow.RecordFrame)
	for b.Loop() {
		r.feed(b, r.in)
		read()
	}
	r.check(b, b.N)
	b.ReportMetric(framesRead, "frames/op")
}
