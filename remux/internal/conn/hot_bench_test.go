package conn

import (
	"math"
	"net"
	"testing"

	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// These benchmarks cover the code that handles every frame, at one end only and without
// goroutines or system calls. Those in package remux use both ends.

// sink is a lower connection that accepts everything written to it.
// Apart from Write, only RemoteAddr is called.
type sink struct {
	net.Conn
	wrote int // bytes written
}

func (k *sink) Write(p []byte) (int, error) {
	k.wrote += len(p)
	return len(p), nil
}

func (k *sink) RemoteAddr() net.Addr { return nil }

func (k *sink) NegotiatedProtocol() string { return Protocol }

// nowSink is a sink to which a session's Write may write directly.
type nowSink struct{ sink }

func (k *nowSink) CanWriteNow() bool { return true }

func (k *nowSink) WriteNow(p []byte) (bool, error) {
	_, err := k.Write(p)
	return true, err
}

func (k *nowSink) Flush() error { return nil }

// sender returns a session with an unlimited window, and its conn, which is not run: only
// the caller writes.
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

// newFrameWriter returns a frameWriter whose quantum is the given number of large frames;
// 0 means one record.
func newFrameWriter(t testing.TB, large int) *frameWriter {
	to := &sink{}
	c, s := sender(t, to)
	c.out.pacer.Wrote(0, math.MaxInt64) // the measurement never ends, so the quantum does not change
	c.out.pacer.Quantum = max(flow.RecordFrame, large*flow.LargeFrame)
	c.out.pacer.Batch = max(flow.BatchMin, large*64<<10+flow.BatchRoom)
	c.out.sched.quantum = c.out.pacer.Quantum
	w := &frameWriter{c, s, to, make([]byte, 4*flow.BatchMax)}
	w.batch(t) // the first batch opens the session and contains its WINDOW
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

// framesRead is how many frames, each of one record, arrive per read. Together they
// always fit into what is left of a window of the initial size, so that the peer need not
// wait for a WINDOW between two reads.
const framesRead = 8

// frameReader is a session opened by the peer, and the frames that the peer sends on it.
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
	r.split.conn = r.c
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

// feed processes p like readLoop, and writes the resulting frames.
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

// deliver sets a sink for received bytes.
func (r *frameReader) deliver(t testing.TB) {
	if err := r.s.SetSink(takeEach(&r.got)); err != nil {
		t.Fatal(err)
	}
}

// takeEach returns a sink that consumes everything and counts it in got.
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

// borrow reads all buffered bytes with Peek.
func (r *frameReader) borrow(t testing.TB) {
	for left := framesRead * flow.RecordFrame; left > 0; {
		p, err := r.s.Peek()
		if err != nil {
			t.Fatal(err)
		}
		left -= len(p)
		r.got += len(p)
		r.s.Discard()
	}
}

// check expects all data to have arrived. A session reset for exceeding its window would
// drop it, which is fast.
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

// bench processes batches of frames and calls read after each.
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
