// Package splice joins two streams: it copies data both ways, ends each direction
// separately, and never turns a failure into a clean end.
//
//	r := splice.Both(app, session, code.Cancelled, code.General)
//
// # Half-close
//
// End of file from one end becomes CloseWrite on the other, while the opposite
// direction continues to its own end of file. A wrapper around a connection must
// therefore forward CloseWrite explicitly: embedding net.Conn alone loses it.
//
// # Failure
//
// When an end fails, in either direction, the other is aborted (see [Abort]): the peer
// of a TCP socket sees "connection reset", the peer of a session gets the code. Data
// may then be lost, but never silently.
//
// A failure is noticed even while an end is not being read, because the other end
// accepts no data or end of file was already read: see [Ender]. Data sent before the
// failure is still delivered as long as the other end keeps accepting it; if it
// accepts nothing for a few seconds, both ends are aborted.
//
// # Cost
//
// A join uses the caller's goroutine, and a second one unless an end is a [Sleeper]. An
// idle direction holds no buffer if it can wait for its source without one: a socket
// (syscall.Conn) on Unix, a [Waiter], or a [Peeker], which provides its own. Any other
// source costs 64 KiB, or more during bulk transfer.
package splice

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tunnels/internal/code"
)

// Stream is a connection whose two directions end separately.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// Waiter is a source that a caller can wait for without holding a buffer.
type Waiter interface {
	// WaitReadable waits until Read would not block, because of data, end of file or an
	// error. It may return that error. An error matching errors.ErrUnsupported means
	// that waiting is not possible right now, so the caller must use Read.
	WaitReadable() error
}

// Peeker is a source that lends out data in its own buffer.
type Peeker interface {
	// Peek waits as Read does and returns bytes that stay valid until Discard, which
	// the caller must call exactly once after each success, before the next Peek. An
	// error matching errors.ErrUnsupported means that the caller must use Read.
	Peek() ([]byte, error)
	Discard()
}

// SinkSetter is a source that can pass on data as it arrives, without a reader.
type SinkSetter interface {
	// SetSink sets take to be called with arriving data, in consecutive pieces. take
	// must not block; it returns how many bytes it accepted, and the rest is left for
	// Read. SetSink returns an error if the source cannot do this.
	SetSink(take func(pieces [][]byte) int) error
}

// Sleeper is a source that a caller can wait for without a goroutine.
type Sleeper interface {
	// OnReadable reports whether Read would block. If so, f is called once in its own
	// goroutine when Read no longer would, or spuriously. OnReadable may return false
	// even if Read would block; the caller then calls Read and waits in it.
	OnReadable(f func()) bool
}

// End is one of the two ends of a Pair.
type End uint8

// The ends.
const (
	Neither End = iota
	A
	B
)

// String returns "a", "b" or "neither".
func (e End) String() string { return [...]string{"neither", "a", "b"}[e] }

// Result describes the outcome of a join.
type Result struct {
	FromA int64 // bytes read from a and written to b
	FromB int64 // bytes read from b and written to a

	Failed End   // the end that failed first; Neither after a clean end
	Err    error // why it failed; nil after a clean end
}

// drainMax is the deadline for reading the remaining data of an end that can no longer
// be written to. Its socket is dead, so the data is already in the kernel's buffer and
// reading rarely blocks.
const drainMax = time.Second

// Pair is two streams to join, with optional observers of the data.
type Pair struct {
	A, B Stream
	// WhenAFails and WhenBFails are the codes for failures whose error has none.
	WhenAFails, WhenBFails code.Code

	FromA, FromB Flow
}

// Flow observes the data from one end. All fields are optional. The goroutine that
// moves the data calls the functions, so they must return quickly.
type Flow struct {
	// Moved is increased by the bytes written to the other end. It may be read at any
	// time and need not start at 0.
	Moved *atomic.Int64
	// First is called once, after the first bytes are written to the other end.
	First func()
	// Failed is called if this end is the first to fail, has not ended cleanly, and
	// none of its data has been written to the other end. It is called before the other
	// end is aborted.
	Failed func(err error)
}

// Both joins a and b without observers; see Pair.Join.
func Both(a, b Stream, whenAFails, whenBFails code.Code) Result {
	return Pair{A: a, B: b, WhenAFails: whenAFails, WhenBFails: whenBFails}.Join()
}

// Join copies from A to B and from B to A until both directions have ended, then closes
// both ends. If reading from or writing to an end fails, both ends are aborted with the
// code and text of the error or, if it has no code, with WhenAFails or WhenBFails. That
// happens immediately, except for code.TargetReset after a failed write: servers often
// answer and close without reading the whole request, so data such an end has already
// sent is delivered first.
func (p Pair) Join() Result {
	j := join{
		ends:  [...]Stream{A: p.A, B: p.B},
		why:   [...]code.Code{A: p.WhenAFails, B: p.WhenBFails},
		flows: [...]Flow{A: p.FromA, B: p.FromB},
	}
	ResetOnDeath(p.A)
	ResetOnDeath(p.B)
	there, back := j.direction(A, B), j.direction(B, A)
	j.ways = [...]*direction{A: there, B: back}
	j.wg.Add(2)
	there.deliverTo()
	back.deliverTo()
	j.listen(there)
	j.listen(back)
	mine, other := there, back
	if there.sleeper != nil { // needs no goroutine yet, and perhaps never will
		mine, other = back, there
	}
	other.start()
	mine.run()
	j.wg.Wait()
	j.stopTimers() // before reading the result, which a running timer may still change
	r := Result{FromA: there.moved.Load(), FromB: back.moved.Load()}
	j.mu.Lock()
	r.Failed, r.Err = j.failed, j.err
	j.mu.Unlock()
	if r.Err == nil {
		setLinger(p.A, -1)
		setLinger(p.B, -1)
	}
	// Both ends are done, so errors of Close do not matter.
	_ = p.A.Close()
	_ = p.B.Close()
	return r
}

// ResetOnDeath makes the kernel reset c if this process is killed, so that the peer
// does not mistake truncated data for a clean end. From then on, c.Close also sends a
// reset. Join calls it for both ends and undoes it after a clean end. Callers that make
// promises to c's peer before Join should call it earlier.
func ResetOnDeath(c net.Conn) { setLinger(c, 0) }

// setLinger sets how closing c treats unsent data, if c supports that: 0 discards it
// and resets the connection, -1 sends it in the background.
func setLinger(c net.Conn, sec int) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(sec) // fails only on a closed connection
	}
}

// join holds the state shared by the two directions.
type join struct {
	ends  [3]Stream      // immutable after creation
	why   [3]code.Code   // immutable after creation; code to use when an end fails without one
	flows [3]Flow        // immutable after creation; by source
	ways  [3]*direction  // immutable once Join has set it; by source
	wg    sync.WaitGroup // directions that have not ended

	// delivering is held during a delivery to that end, which does not block. Acquire
	// it before mu.
	delivering [3]sync.Mutex
	// writing is held during a write to that end, until any error is recorded. Acquire
	// it before mu.
	writing [3]sync.Mutex

	mu       sync.Mutex
	ended    [3]bool // guarded by mu; end of file has been read from that end
	failed   End     // guarded by mu; the end that failed first
	err      error   // guarded by mu; why it failed
	draining bool    // guarded by mu; data sent by the failed end is still being delivered
	aborted  bool    // guarded by mu
	gone     [3]bool // guarded by mu; that end has ended cleanly and accepts no more data
	lost     [3]bool // guarded by mu; data written to that end can no longer arrive

	timers timers // see ended.go
}

// direction moves data from one end to the other. The goroutine that calls run owns it;
// while waiting for a Sleeper it has no owner.
type direction struct {
	j        *join
	from, to End
	src      *source
	sleeper  Sleeper      // the source as a Sleeper, or nil if it is not one
	moved    atomic.Int64 // bytes written to the other end

	// See guard.go.
	guarded bool          // set by listen, immutable after that
	writes  atomic.Uint32 // Writes begun plus Writes finished, so odd while one is in progress
	armed   atomic.Bool   // the guard is running
}

// direction returns the direction between two ends.
func (j *join) direction(from, to End) *direction {
	d := &direction{j: j, from: from, to: to, src: newSource(j.ends[from])}
	d.sleeper, _ = j.ends[from].(Sleeper)
	return d
}

// deliverTo makes the source deliver to the other end's socket, if both support that.
// Both directions must exist by then, because a delivery may fail immediately.
func (d *direction) deliverTo() {
	source, ok := d.j.ends[d.from].(SinkSetter)
	if !ok {
		return
	}
	if raw := rawOf(d.j.ends[d.to]); raw != nil {
		_ = source.SetSink(func(pieces [][]byte) int { // on error, all data is read instead
			n := d.j.deliver(raw, d.to, pieces)
			d.count(n)
			return n
		})
	}
}

// start calls run in a new goroutine: once there is data if the source can report that,
// otherwise immediately.
func (d *direction) start() {
	if d.sleeper == nil || !d.sleeper.OnReadable(d.run) {
		go d.run()
	}
}

// run moves data until the direction has ended, then calls join.wg.Done. If the source
// is a Sleeper without data, run returns early and is called again later.
func (d *direction) run() {
	for d.sleeper == nil || !d.sleeper.OnReadable(d.run) {
		if !d.step() {
			d.j.wg.Done()
			return
		}
	}
}

// step moves the data from one read. It returns false once the direction has ended.
func (d *direction) step() bool {
	j := d.j
	if j.isDraining() {
		_ = j.ends[d.from].SetReadDeadline(time.Now().Add(drainMax))
	}
	b, err := d.src.next()
	if len(b) > 0 {
		if !d.pass(b) {
			d.src.release()
			return false
		}
	}
	d.src.release()
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		j.eof(d.from, d.to)
	case j.isGone(d.to): // the destination accepts no more data
	default:
		j.fail(d.from, err)
	}
	return false
}

// pass writes b to the other end. On failure it records the error and returns false.
func (d *direction) pass(b []byte) bool {
	w := &d.j.writing[d.to]
	w.Lock()
	defer w.Unlock()
	n, err := d.write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		d.j.writeFailed(d.to, err)
	}
	return err == nil
}

// write writes b to the other end while the guard, if any, watches the source.
func (d *direction) write(b []byte) (n int, err error) {
	if !d.guarded {
		n, err = d.j.ends[d.to].Write(b)
	} else {
		d.writes.Add(1)
		d.arm()
		n, err = d.j.ends[d.to].Write(b)
		d.writes.Add(1)
	}
	d.count(n)
	return n, err
}

// count adds n bytes written to the other end.
func (d *direction) count(n int) {
	if n <= 0 {
		return
	}
	flow := &d.j.flows[d.from]
	if flow.Moved != nil {
		flow.Moved.Add(int64(n))
	}
	if d.moved.Add(int64(n)) == int64(n) && flow.First != nil {
		flow.First()
	}
}

// deliver writes as much to an end as its socket accepts without blocking. The kernel
// reports a socket's error only once, to the first system call, so unless deliver
// records it a later read from the same socket would see a clean end.
func (j *join) deliver(raw syscall.RawConn, to End, pieces [][]byte) int {
	j.delivering[to].Lock()
	defer j.delivering[to].Unlock()
	n, err := tryWrite(raw, pieces)
	if err != nil {
		j.writeFailed(to, err)
	}
	return n
}

// rawOf returns c's socket, or nil if it has none that supports non-blocking writes.
func rawOf(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok || !rawReads {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func (j *join) isDraining() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.draining
}

// wasReset reports whether end of file read from an end may really be a reset. The
// kernel reports a socket's error only once: if a Write got it, a read from the same
// socket sees a clean end.
func (j *join) wasReset(from, to End) bool {
	// Check both before and after, because a socket also looks reset once both
	// directions have ended.
	return !j.hasEnded(to) && broken(j.ends[from], false) != nil && !j.hasEnded(to)
}

// eof passes end of file from one end on to the other.
func (j *join) eof(from, to End) {
	if j.wasReset(from, to) { // wait for the Write that got the error to record it
		j.writing[from].Lock()
		defer j.writing[from].Unlock()
	}
	j.delivering[from].Lock() // let a delivery in progress record its error
	j.mu.Lock()
	failed := j.err
	if failed == nil {
		j.ended[from] = true
	}
	j.mu.Unlock()
	j.delivering[from].Unlock()
	if failed != nil { // the remaining data has been read, but this is not a clean end
		j.abort()
		return
	}
	j.ways[from].arm()
	err := j.ends[to].CloseWrite()
	if err == nil {
		j.wakeFor(from)
		return
	}
	j.mu.Lock()
	over := j.ended[to]
	j.mu.Unlock()
	if over { // that end is finished and gone, so there is no need to pass on the end of file
		return
	}
	j.writeFailed(to, err)
}

// writeFailed records that writing to end e failed.
func (j *join) writeFailed(e End, err error) {
	j.mu.Lock()
	if j.gone[e] { // ended cleanly and accepts no more data
		j.mu.Unlock()
		return
	}
	if j.draining && j.failed == e { // already recorded; its data is still being delivered
		j.mu.Unlock()
		return
	}
	drain := j.err == nil && !j.ended[e] && j.reason(e, err).Code == code.TargetReset
	if drain {
		j.failed, j.err, j.draining = e, err, true
	}
	j.mu.Unlock()
	if !drain {
		j.fail(e, err)
		return
	}
	_ = j.ends[e].SetReadDeadline(time.Now().Add(drainMax)) // wakes a reader that would wait forever
}

// fail records that end e failed, unless an earlier failure is already recorded, and
// aborts both ends.
func (j *join) fail(e End, err error) {
	j.mu.Lock()
	if j.err == nil {
		j.failed, j.err = e, err
	}
	j.mu.Unlock()
	j.abort()
}

// abort aborts both ends with the reason for the first failure. That includes the
// failed end, because its failure may be local, such as a deadline, and its peer must
// not mistake it for a clean end.
func (j *join) abort() {
	j.mu.Lock()
	done := j.aborted
	j.aborted = true
	failed, err, why := j.failed, j.err, j.reason(j.failed, j.err)
	ended := j.ended[failed]
	j.mu.Unlock()
	if done {
		return
	}
	if f := j.flows[failed].Failed; f != nil && !ended && j.ways[failed].moved.Load() == 0 {
		f(err)
	}
	other := A + B - failed
	Abort(j.ends[other], why.Code, why.Text)
	Abort(j.ends[failed], why.Code, why.Text)
}

// reason returns the code and text for aborting when e fails with err.
func (j *join) reason(e End, err error) code.Error {
	if ce, ok := errors.AsType[*code.Error](err); ok {
		return code.Error{Code: ce.Code, Text: ce.Text}
	}
	return code.Error{Code: j.why[e]}
}
