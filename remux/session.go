package remux

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
)

// Session is one bidirectional byte stream on a conn: a [net.Conn] with
// half-close and with endings that carry a reason. All methods are safe for
// concurrent use; none but Read, Borrow and Write waits.
//
// An error from Read or Write that is not io.EOF, a deadline or net.ErrClosed
// means that the session did not end cleanly: bytes may be missing. Where the
// peer gave a reason it is a *code.Error.
type Session struct {
	// Static after construction.
	conn   *conn
	number uint16
	local  bool // opened by this end

	// done is closed when the session has ended and can carry nothing more.
	done chan struct{}

	// Guarded by conn.mu: the sending direction and the life of the session.
	wcond    sync.Cond
	wbuf     []byte // what the Write in progress has yet to hand over
	wbusy    bool   // a Write is in progress
	werr     error  // why nothing more is written; set once
	wdl      deadline
	sent     uint64      // payload bytes
	sendMax  uint64      // how many the peer allows
	opened   atomic.Bool // the peer knows the session; written under conn.mu
	fin      finState
	gotFin   bool
	ended    bool // out of the conn's table
	slot     slot
	gathered uint32 // the batch that has its last gathered frame
	due      bool   // a WINDOW is to be sent
	told     bool   // Hooks.SessionOpened has returned
	tellLate bool   // it ended before: who opened it tells
	endErr   error  // for Hooks.SessionClosed

	basic atomic.Bool // the peer knows no windows; written under conn.mu

	// granted is the limit that WINDOW announces. Written under mu.
	granted atomic.Uint64

	// Guarded by mu: the receiving direction. mu may be taken alone or before
	// nothing else: never together with conn.mu.
	mu      sync.Mutex
	rcond   sync.Cond
	rbuf    buffer
	lent    *chunk             // what Borrow lent out
	sink    func([][]byte) int // see Deliver; nil: there is none
	onRead  func()             // see OnReadable; nil: nobody asked
	onEnd   func(error, bool)  // see OnEnd; nil if not set, or called
	over    bool               // nothing written arrives any more
	overErr error              // why, or nil after a clean end
	silence silence
	rerr    error // ends reading when rbuf is empty; set once
	rclosed bool  // the application will read no more
	rdl     deadline
	flow    flow
}

// finState is how far the end of our direction has got.
type finState uint8

const (
	finNone finState = iota
	finHeld          // wanted, but a basic peer would take it for the end of the session: see basic.go
	finWanted
	finSent
)

func newSession(c *conn, number uint16) *Session {
	s := &Session{conn: c, number: number, done: make(chan struct{})}
	s.wcond.L = &c.mu
	s.rcond.L = &s.mu
	s.basic.Store(c.peer.kind == peerBasic)
	s.flow.start(c.cfg, c.peer.kind == peerBasic)
	s.granted.Store(s.flow.limit)
	return s
}

// ID names the session in the log of both ends.
func (s *Session) ID() SessionID { return SessionID{s.conn.connID(), s.number} }

// Done is closed when the session has ended for both directions, cleanly or
// not: nothing that is written can arrive any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Lower is the connection that carries the session's conn, to ask who the peer
// is. It is not to be read, written or closed.
func (s *Session) Lower() net.Conn { return s.conn.nc }

// LocalAddr is the address of the lower connection.
func (s *Session) LocalAddr() net.Addr { return s.conn.nc.LocalAddr() }

// RemoteAddr is the address of the lower connection's peer.
func (s *Session) RemoteAddr() net.Addr { return s.conn.nc.RemoteAddr() }

// Read reads what the peer sent. It returns io.EOF after the peer's CloseWrite
// or Close, and never io.EOF when the session or its conn broke.
func (s *Session) Read(p []byte) (int, error) {
	s.announce()
	s.mu.Lock()
	if err := s.await(len(p) == 0); err != nil {
		s.mu.Unlock()
		return 0, err
	}
	n := s.rbuf.read(p)
	grant := s.consumedLocked(n)
	s.mu.Unlock()
	if grant {
		s.conn.windowDue(s, true)
	}
	return n, nil
}

// Borrow waits as Read does and lends out the next bytes themselves, which saves
// a copy, and a buffer while nothing comes. They are the caller's until
// GiveBack, which must follow before anything else is read.
func (s *Session) Borrow() ([]byte, error) {
	s.announce()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.await(false); err != nil {
		return nil, err
	}
	s.lent = s.rbuf.take()
	return s.lent.data[s.lent.r:s.lent.w], nil
}

// GiveBack ends what Borrow began: the bytes count as read.
func (s *Session) GiveBack() {
	s.mu.Lock()
	k := s.lent
	if k == nil {
		s.mu.Unlock()
		return
	}
	s.lent = nil
	grant := s.consumedLocked(k.w - k.r)
	s.mu.Unlock()
	k.recycle()
	if grant {
		s.conn.windowDue(s, true)
	}
}

// Deliver has bytes handed to take as soon as they come, whenever none wait to be
// read before them: it spares a copy and a change of goroutine. take is called
// by the goroutine that serves the conn, with pieces that belong one behind the
// other and are its own for the call; it must not wait, and says how many bytes it
// took; the rest is left to Read or Borrow. Reading has to go on: for the
// rest, and for the end.
func (s *Session) Deliver(take func(pieces [][]byte) int) error {
	s.mu.Lock()
	s.sink = take
	s.mu.Unlock()
	return nil
}

// OnReadable spares the goroutine that would wait in Read or Borrow: true says that
// either would wait now, and that f will be called once, in a goroutine of its own,
// when neither would, as there are bytes, an end, an error, or the deadline has
// come. It may also be called for nothing.
func (s *Session) OnReadable(f func()) bool {
	s.announce()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready, _ := s.readyLocked(); ready {
		return false
	}
	s.onRead = f
	return true
}

// OnEnd has f called once, when nothing that is written to the session can arrive
// any more: it is how a caller that neither reads nor writes at the moment learns
// that the session has ended. err is nil after a clean end; whole reports whether
// everything the peer sent has arrived, including its end. What has arrived can
// still be read, except where the session was reset. f must not block. OnEnd calls
// it directly if the session is over already, and returns true.
func (s *Session) OnEnd(f func(err error, whole bool)) bool {
	s.mu.Lock()
	if !s.over {
		s.onEnd = f
		s.mu.Unlock()
		return true
	}
	err, whole := s.overErr, s.rerr == io.EOF
	s.mu.Unlock()
	f(err, whole)
	return true
}

// tellEnd calls what OnEnd was given, the first time.
func (s *Session) tellEnd(err error) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over, s.overErr = true, err
	if err == nil && s.rerr == nil { // a basic peer, which needs no FIN of its own behind ours
		s.rerr = io.EOF
		s.wakeReaderLocked()
	}
	f, whole := s.onEnd, s.rerr == io.EOF
	s.onEnd = nil
	s.mu.Unlock()
	if f != nil {
		f(err, whole)
	}
}

// wakeReaderLocked wakes who waits for what has come.
func (s *Session) wakeReaderLocked() {
	s.rcond.Broadcast()
	if f := s.onRead; f != nil {
		s.onRead = nil
		go f() // who gave it waits for its end
	}
}

// await waits for bytes, unless none are wanted, or returns why there will be none. The
// caller holds mu, which is released while await waits.
func (s *Session) await(none bool) error {
	for {
		if ready, err := s.readyLocked(); ready || none {
			return err
		}
		s.rcond.Wait()
	}
}

// readyLocked: there are bytes, or err says why there will be none.
func (s *Session) readyLocked() (ready bool, err error) {
	switch {
	case s.rclosed:
		return true, net.ErrClosed
	case s.rdl.expired:
		return true, os.ErrDeadlineExceeded
	case s.rbuf.len > 0:
		return true, nil
	case s.rerr != nil:
		return true, s.rerr
	}
	return false, nil
}

// consumedLocked accounts for n bytes that left rbuf; true: the peer is to be
// granted more.
func (s *Session) consumedLocked(n int) bool {
	if n == 0 {
		return false
	}
	s.conn.cfg.Budget.free(n)
	if s.basic.Load() {
		s.rcond.Broadcast() // the conn's reader may wait for room
	}
	if !s.flow.consumed(n, s.conn.keepalive.rtt()) || s.rerr != nil {
		return false
	}
	s.granted.Store(s.flow.limit)
	return true
}

// Write sends p and returns when all of it was handed to the conn, which is
// not yet the peer.
func (s *Session) Write(p []byte) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.wbusy && s.canWriteLocked() == nil {
		s.wcond.Wait()
	}
	if err := s.canWriteLocked(); err != nil || len(p) == 0 {
		return 0, err
	}
	if c.gatherLocked(s, p) {
		return len(p), nil
	}
	s.wbusy, s.wbuf = true, p
	for c.lockWriteNowLocked(s) {
		b := c.takeBatchLocked()
		c.mu.Unlock()
		sent := c.writeNow(b)
		c.mu.Lock()
		c.unlockWriteNowLocked(sent)
	}
	c.passWriteLocked()
	c.readyLocked(s)
	for len(s.wbuf) > 0 && s.werr == nil && !s.wdl.expired {
		s.wcond.Wait()
	}
	n := len(p) - len(s.wbuf)
	s.wbusy, s.wbuf = false, nil
	c.readyLocked(s) // CloseWrite may have been waiting for these bytes
	s.wcond.Broadcast()
	if n == len(p) {
		return n, nil
	}
	if s.werr != nil {
		return n, s.werr
	}
	return n, os.ErrDeadlineExceeded
}

func (s *Session) canWriteLocked() error {
	switch {
	case s.werr != nil:
		return s.werr
	case s.fin != finNone:
		return io.ErrClosedPipe
	case s.wdl.expired:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// announce tells the peer of a session that has nothing to send yet, before
// its application waits for an answer.
func (s *Session) announce() {
	if s.opened.Load() {
		return
	}
	c := s.conn
	c.mu.Lock()
	if !s.opened.Load() && !s.ended && len(s.wbuf) == 0 {
		c.openLocked(s)
	}
	c.mu.Unlock()
}

// CloseWrite says that nothing more will be written: the peer reads io.EOF
// after all that was. Reading goes on.
func (s *Session) CloseWrite() error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.werr != nil {
		return s.werr
	}
	c.finishLocked(s, false)
	return nil
}

// Close ends the session. If the peer has finished, or sends nothing more, the
// end is clean; bytes it sent that nobody read, or a Write that is still
// waiting, make it a reset with code.Cancelled.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.rclosed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.rclosed = true
	unread := s.rbuf.discard()
	s.conn.cfg.Budget.free(unread)
	s.rdl.at(time.Time{}, readSide{s})
	s.wakeReaderLocked()
	s.mu.Unlock()

	c := s.conn
	c.mu.Lock()
	switch {
	case s.ended:
		s.werr = net.ErrClosed
	case !s.opened.Load() && len(s.wbuf) == 0: // the peer has not heard of it and need not
		c.removeLocked(s, nil, net.ErrClosed)
		defer c.gone(s)
	case (unread > 0 && !s.gotFin) || len(s.wbuf) > 0:
		c.resetLocked(s, &code.Error{Code: code.Cancelled}, net.ErrClosed)
		defer c.gone(s)
	default:
		c.finishLocked(s, true)
		s.failWriteLocked(net.ErrClosed)
	}
	c.mu.Unlock()
	return nil
}

// Reset ends both directions at once; the peer's application sees an error
// with this code and text (512 bytes of it at most), never a clean end. Bytes
// that the peer has not read are lost, except with code.TargetReset.
func (s *Session) Reset(c code.Code, text string) error {
	s.reset(&code.Error{Code: c, Text: text}, true)
	return nil
}

// reset ends the session because of why; force: also what the peer has already
// finished sending is not wanted any more.
func (s *Session) reset(why *code.Error, force bool) {
	c := s.conn
	c.mu.Lock()
	ended := s.ended
	if !ended {
		c.resetLocked(s, why, why)
	}
	c.mu.Unlock()
	s.stopReading(why, false, force)
	if !ended {
		c.gone(s)
	}
}

// failWriteLocked ends writing with err. conn.mu is held.
func (s *Session) failWriteLocked(err error) {
	if s.werr == nil {
		s.werr = err
	}
	s.wdl.at(time.Time{}, writeSide{s})
	s.wcond.Broadcast()
}

// stopReading makes Read return err: after what waits, where keep is true, else
// at once. A direction that the peer has finished arrived in full and can still
// be read, unless it is our application that wants no more (force).
func (s *Session) stopReading(err error, keep, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rerr != nil && !force {
		return
	}
	if !keep {
		s.conn.cfg.Budget.free(s.rbuf.discard())
	}
	s.rerr = err
	s.wakeReaderLocked()
}

// SetDeadline sets both deadlines, as net.Conn says.
func (s *Session) SetDeadline(t time.Time) error {
	err := s.SetReadDeadline(t)
	if werr := s.SetWriteDeadline(t); err == nil {
		err = werr
	}
	return err
}

// SetReadDeadline sets the time after which Read fails; zero: never.
func (s *Session) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rclosed {
		return net.ErrClosed
	}
	s.rdl.at(t, readSide{s})
	return nil
}

// SetWriteDeadline sets the time after which Write fails; zero: never. A Write
// that was cut short has handed over what it says, and the session goes on.
func (s *Session) SetWriteDeadline(t time.Time) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.werr != nil {
		return s.werr
	}
	s.wdl.at(t, writeSide{s})
	return nil
}
