package remux

import (
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// The paths that every byte, every frame or every session takes. The first two
// benchmarks are of one end alone, without goroutines or system calls, so that what
// they say is about frames; the others are of both ends over loopback TCP.

// sink is the lower connection of a full peer, which takes all that is written to
// it. Nothing else is called.
type sink struct {
	net.Conn
	wrote int // bytes
}

func (k *sink) Write(p []byte) (int, error) {
	k.wrote += len(p)
	return len(p), nil
}

func (k *sink) NegotiatedProtocol() string { return protocol }

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
func sender(t testing.TB, nc net.Conn) (*Conn, *session) {
	t.Helper()
	cfg := Config{}.defaults()
	c := newConn(nc, &cfg, true, nil, alone{})
	s, err := c.open()
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
	s       *session
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
	s     *session
	split demux
	in    []byte // frames, as read from the lower connection
	got   int    // payload that the application has read
}

func newFrameReader(t testing.TB) *frameReader {
	const number = 1
	cfg := Config{}.defaults()
	r := &frameReader{c: newConn(&sink{}, &cfg, false, backlog.NewQueue(), alone{})}
	h := frame.Hello{Version: frame.Version, Conn: 1, Window: frame.Floor, Sessions: frame.LastID, Frame: frame.MaxPayload}
	r.feed(t, frame.AppendOpen(frame.AppendHello(nil, h), number))
	s, err := r.c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.s = s.(*session)
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
	if err := r.s.Deliver(takeAll(&r.got)); err != nil {
		t.Fatal(err)
	}
}

// takeAll is a sink that takes all, and adds to got how much that was.
func takeAll(got *int) func(pieces [][]byte) int {
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

// ends are the two ends of a session, and what runs at the far one.
type ends struct {
	near, far *session
	running   sync.WaitGroup
}

// newEnds opens a session over loopback TCP. When the benchmark is over the conns
// end, which ends whatever runs at the far end, and that is awaited.
func newEnds(b *testing.B) *ends {
	b.Helper()
	e := &ends{}
	b.Cleanup(e.running.Wait) // after pair's own
	p, l := pair(b, Config{}, Config{})
	near, err := p.Dial()
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	e.near, e.far = near.(*session), far.(*session)
	return e
}

// BenchmarkRoundTrip is a keystroke and its echo.
func BenchmarkRoundTrip(b *testing.B) {
	e := newEnds(b)
	e.running.Go(func() { echo(e.far) })
	buf := make([]byte, 64)
	b.ReportAllocs()
	b.SetBytes(2 * int64(len(buf)))
	for b.Loop() {
		if _, err := e.near.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(e.near, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// echo sends back what comes, until the session ends.
func echo(s *session) {
	buf := make([]byte, 64)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		if _, err := s.Write(buf[:n]); err != nil {
			return
		}
	}
}

// BenchmarkOpenClose is the whole life of a session that carries a byte each way.
func BenchmarkOpenClose(b *testing.B) {
	var server sync.WaitGroup
	b.Cleanup(server.Wait) // after pair's own
	// As many sessions on one conn as it has numbers: what is measured is not the
	// dialing.
	p, l := pair(b, Config{ReuseMaxCount: 1 << 15, ReuseMaxAge: time.Hour}, Config{})
	server.Go(func() { serveByte(l) })
	one := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := exchangeByte(b, p, one); err != nil {
			b.Fatal(err)
		}
	}
}

// exchangeByte opens a session, writes a byte, reads one and closes.
func exchangeByte(b *testing.B, p *Pool, one []byte) error {
	s, err := p.open(b.Context())
	if err != nil {
		return err
	}
	if _, err := s.Write(one); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, one); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	<-s.Done() // or the next session would pay for the end of this one
	return nil
}

// serveByte answers a byte with a byte, one session after the other, until the
// listener is closed. Where it fails, so does the other end.
func serveByte(l *SessionListener) {
	one := make([]byte, 1)
	for {
		s, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := io.ReadFull(s, one); err == nil {
			s.Write(one)
		}
		s.Close()
	}
}

// BenchmarkBulk is an upload.
func BenchmarkBulk(b *testing.B) {
	b.Run("deliver", func(b *testing.B) { benchBulk(b, true) })
	b.Run("borrow", func(b *testing.B) { benchBulk(b, false) })
}

func benchBulk(b *testing.B, deliver bool) {
	e := newEnds(b)
	var delivered, borrowed int
	if deliver {
		e.far.Deliver(takeAll(&delivered))
	}
	var end error
	e.running.Go(func() { borrowed, end = borrowAll(e.far) })
	buf := make([]byte, 256<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	b.ResetTimer()
	// Not b.Loop, which would stop the clock with bytes still on their way.
	for range b.N {
		if _, err := e.near.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.near.CloseWrite(); err != nil {
		b.Fatal(err)
	}
	e.running.Wait()
	if got, want := delivered+borrowed, b.N*len(buf); end != io.EOF || got != want {
		b.Fatalf("%d bytes arrived and then %v, want %d and the end", got, end, want)
	}
}

// borrowAll reads to the end of s and says how much that was, and what the end is.
func borrowAll(s *session) (int, error) {
	n := 0
	for {
		p, err := s.Borrow()
		if err != nil {
			return n, err
		}
		n += len(p)
		s.GiveBack()
	}
}
