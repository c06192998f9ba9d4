// Package splice joins two streams: what one end says reaches the other, each
// direction ends by itself, and what ends badly is never passed on as a clean
// end.
//
//	r := splice.Both(app, session, code.Cancelled, code.General)
//
// # Half-close
//
// An end of file from one end becomes CloseWrite on the other, and the opposite
// direction goes on for as long as it has something to say. A wrapper around a
// connection must therefore forward CloseWrite by hand: one that only embeds
// net.Conn loses it.
//
// # Failure
//
// When an end fails, in either direction, the other one is aborted (Abort):
// behind a TCP socket the application sees "connection reset", behind a session
// the far side learns the code. Bytes may be lost then, but never silently.
//
// An end that fails while nothing is read from it, because the other end takes no
// bytes or because it has said all, is noticed too: see [Ender]. What it said before
// is still delivered for as long as the other end goes on taking it; an end that
// takes nothing for some seconds is aborted.
//
// # Cost
//
// The caller's goroutine, and a second one unless an end is a Sleeper. A direction
// in which nothing moves holds no buffer, if its source can be waited for: a socket of the system
// (syscall.Conn) on Unix, a Waiter, or a Lender, which brings its own. Any other
// source costs 64 KiB, or more while it brings much.
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

// Stream is a connection whose two directions end one by one.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// Waiter is a source that can be waited for without a buffer in hand.
type Waiter interface {
	// WaitReadable returns when Read would not block: there is data, an end
	// of file or an error. It may return that error itself; an error that is
	// errors.ErrUnsupported says that this source cannot be waited for at
	// the moment.
	WaitReadable() error
}

// Lender is a source whose bytes need no buffer of the reader's.
type Lender interface {
	// Borrow waits as Read does and returns bytes that stay valid until
	// GiveBack, which is called exactly once for each success and before the
	// next Borrow. An error that is errors.ErrUnsupported says that Read is to
	// be used.
	Borrow() ([]byte, error)
	GiveBack()
}

// Deliverer is a source that can hand over bytes as they come.
type Deliverer interface {
	// Deliver has bytes handed to take, in pieces that belong one behind the
	// other; take does not wait and says how many bytes it took; the others are
	// to be read. An error says that it cannot.
	Deliver(take func(pieces [][]byte) int) error
}

// Sleeper is a source that can be waited for without a goroutine.
type Sleeper interface {
	// OnReadable says whether Read would wait now. If so, f is called once, in a
	// goroutine of its own, when it would not, or for nothing. It may always be
	// false: then Read is to be called, and waits.
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

// String is "a", "b" or "neither".
func (e End) String() string { return [...]string{"neither", "a", "b"}[e] }

// Result is what came of joining two ends.
type Result struct {
	FromA int64 // bytes read from a and written to b
	FromB int64 // bytes read from b and written to a

	Failed End   // the end that failed first; Neither after a clean end
	Err    error // how it failed; nil after a clean end
}

// drainMax is for how long an end that can no longer be written to is waited
// for while the rest of what it said is read. Its socket is dead, so that rest
// lies in a buffer of the system and waiting is the exception.
const drainMax = time.Second

// Pair is two streams to join, and what the caller wants to learn meanwhile.
type Pair struct {
	A, B Stream
	// WhenAFails and WhenBFails are the codes of failures that carry none.
	WhenAFails, WhenBFails code.Code

	FromA, FromB Flow
}

// Flow observes what comes from one end. All fields are optional. The functions are
// called from the goroutine that moves the bytes, so they must return soon.
type Flow struct {
	// Moved counts the bytes as they are written to the other end. It may be read at
	// any time, and need not begin at 0.
	Moved *atomic.Int64
	// First is called once, when the first bytes have been written to the other end.
	First func()
	// Failed is called if this end is the first to fail, and nothing that it said has
	// reached the other end. The other end learns of the failure afterwards.
	Failed func(err error)
}

// Both joins a and b with no Flow; see Pair.Join.
func Both(a, b Stream, whenAFails, whenBFails code.Code) Result {
	return Pair{A: a, B: b, WhenAFails: whenAFails, WhenBFails: whenBFails}.Join()
}

// Join copies from A to B and from B to A until both directions have ended, and
// closes both. When an end fails, in reading or in writing, both ends are
// aborted with the code that the error carries and its text, or else with
// WhenAFails or WhenBFails. That happens at once, except for code.TargetReset
// after a failed write: servers that answer and close without having read
// everything are common, so what such an end has said before is delivered first.
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
	j.listen(there)
	j.listen(back)
	mine, other := there, back
	if there.sleeper != nil { // needs no goroutine now, and perhaps none at all
		mine, other = back, there
	}
	other.start()
	mine.run()
	j.wg.Wait()
	j.stopTimers() // first: one that fires now may still make it a failure
	r := Result{FromA: there.moved.Load(), FromB: back.moved.Load()}
	j.mu.Lock()
	r.Failed, r.Err = j.failed, j.err
	j.mu.Unlock()
	if r.Err == nil {
		setLinger(p.A, -1)
		setLinger(p.B, -1)
	}
	// Nothing is left to be told to either end: errors of Close are of no use.
	_ = p.A.Close()
	_ = p.B.Close()
	return r
}

// ResetOnDeath has the kernel reset c should this process be killed: its clean
// end would make a whole of what was cut off. Both does this for its ends, and
// takes it back when both directions have ended; who promises something to c's
// peer before that should do it earlier. c.Close is a reset from then on.
func ResetOnDeath(c net.Conn) { setLinger(c, 0) }

// setLinger sets what closing c does with bytes not sent yet, where c has that:
// 0 drops them and resets, -1 sends them in the background.
func setLinger(c net.Conn, sec int) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(sec) // fails on a closed connection only
	}
}

// join is the state that the two directions share.
type join struct {
	ends  [3]Stream      // static
	why   [3]code.Code   // static; what to say when that end fails without a code
	flows [3]Flow        // static; by the end they come from
	ways  [3]*direction  // static once both are there; by the end they come from
	wg    sync.WaitGroup // the directions that have not ended

	// delivering is held while bytes are delivered to that end, which does not
	// wait for anybody; never together with mu but before it.
	delivering [3]sync.Mutex
	// writing is held while bytes are written to that end, and until an error of that is
	// noted; never together with mu but before it.
	writing [3]sync.Mutex

	mu       sync.Mutex
	ended    [3]bool // guarded by mu; that end has said all, and cleanly
	failed   End     // guarded by mu; the first one to fail
	err      error   // guarded by mu; how it did
	draining bool    // guarded by mu; what failed has said is still being delivered
	aborted  bool    // guarded by mu
	gone     [3]bool // guarded by mu; that end ended cleanly and takes no more bytes
	lost     [3]bool // guarded by mu; nothing written to that end arrives any more

	timers timers // of ended.go
}

// direction moves bytes from one end to the other. It is owned by one goroutine at
// a time: by who calls run, or by nobody while it waits for a Sleeper.
type direction struct {
	j        *join
	from, to End
	src      *source
	sleeper  Sleeper      // nil: from is none
	moved    atomic.Int64 // bytes handed to the other end

	// See guard.go.
	guarded bool          // static once listen was called
	writes  atomic.Uint32 // begun and done: odd while a Write is in progress
	armed   atomic.Bool   // the guard is looking
}

func (j *join) direction(from, to End) *direction {
	d := &direction{j: j, from: from, to: to, src: newSource(j.ends[from])}
	d.sleeper, _ = j.ends[from].(Sleeper)
	source, ok := j.ends[from].(Deliverer)
	if !ok {
		return d
	}
	if raw := rawOf(j.ends[to]); raw != nil {
		_ = source.Deliver(func(pieces [][]byte) int { // if it cannot, all is read
			n := j.deliver(raw, to, pieces)
			d.count(n)
			return n
		})
	}
	return d
}

// start has run called in another goroutine, when there is something to do.
func (d *direction) start() {
	if d.sleeper == nil || !d.sleeper.OnReadable(d.run) {
		go d.run()
	}
}

// run moves bytes until the direction has ended, which it tells join.wg, or until
// there is nothing to do for now.
func (d *direction) run() {
	for d.sleeper == nil || !d.sleeper.OnReadable(d.run) {
		if !d.step() {
			d.j.wg.Done()
			return
		}
	}
}

// step moves what one read brings; false: the direction has ended.
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
	case j.isGone(d.to): // there is nobody to read for
	default:
		j.fail(d.from, err)
	}
	return false
}

// pass writes b to the other end; false: that failed, which has been noted.
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

// write writes b to the other end, under the eyes of the guard if there is one.
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

// count notes that n more bytes have been written to the other end.
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

// deliver writes to end to what its socket takes without waiting. The system
// tells an error of a socket once, to whoever comes first: had it been told here
// and not been noted, reading from the same socket would give a clean end.
func (j *join) deliver(raw syscall.RawConn, to End, pieces [][]byte) int {
	j.delivering[to].Lock()
	defer j.delivering[to].Unlock()
	n, err := tryWrite(raw, pieces)
	if err != nil {
		j.writeFailed(to, err)
	}
	return n
}

// rawOf is the socket of c, nil if it has none that can be written to without
// waiting.
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

// wasReset reports whether the clean end that was read from an end may be none. The
// system tells an error of a socket once: when a Write has been told of a reset, reading
// from the same socket gives a clean end.
func (j *join) wasReset(from, to End) bool {
	// Asked again behind it: our own end, and theirs, look like a reset.
	return !j.hasEnded(to) && broken(j.ends[from], false) != nil && !j.hasEnded(to)
}

// eof passes on that from has said all.
func (j *join) eof(from, to End) {
	if j.wasReset(from, to) { // the Write, which does not wait now, is to note it first
		j.writing[from].Lock()
		defer j.writing[from].Unlock()
	}
	j.delivering[from].Lock() // an error that is found just now is noted first
	j.mu.Lock()
	failed := j.err
	if failed == nil {
		j.ended[from] = true
	}
	j.mu.Unlock()
	j.delivering[from].Unlock()
	if failed != nil { // the end of what was drained: not a clean one
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
	if over { // it has said all and is gone: nobody is left to miss our end
		return
	}
	j.writeFailed(to, err)
}

// writeFailed notes that writing to end e failed.
func (j *join) writeFailed(e End, err error) {
	j.mu.Lock()
	if j.gone[e] { // cleanly: what comes for it is not wanted
		j.mu.Unlock()
		return
	}
	if j.draining && j.failed == e { // noted, and what it has said is being delivered
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
	_ = j.ends[e].SetReadDeadline(time.Now().Add(drainMax)) // wakes a reader that waits in vain
}

// fail notes that end e failed, if it is the first, and aborts both.
func (j *join) fail(e End, err error) {
	j.mu.Lock()
	if j.err == nil {
		j.failed, j.err = e, err
	}
	j.mu.Unlock()
	j.abort()
}

// abort ends both ends, with the reason of the first failure. The one that
// failed is aborted too: it may have failed for a cause of this side only, a
// deadline for example, and its peer must not take that for a clean end.
func (j *join) abort() {
	j.mu.Lock()
	done := j.aborted
	j.aborted = true
	failed, err, why := j.failed, j.err, j.reason(j.failed, j.err)
	j.mu.Unlock()
	if done {
		return
	}
	if f := j.flows[failed].Failed; f != nil && j.ways[failed].moved.Load() == 0 {
		f(err)
	}
	other := A + B - failed
	Abort(j.ends[other], why.Code, why.Text)
	Abort(j.ends[failed], why.Code, why.Text)
}

// reason is what err says to the other end when e fails with it.
func (j *join) reason(e End, err error) code.Error {
	if ce, ok := errors.AsType[*code.Error](err); ok {
		return code.Error{Code: ce.Code, Text: ce.Text}
	}
	return code.Error{Code: j.why[e]}
}
