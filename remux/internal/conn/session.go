package conn

import (
	"net"
	"sync"
	"sync/atomic"

	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/timing"
)

// Session implements remux.Session, which describes it.
type Session struct {
	// Static after construction.
	conn   *Conn
	number uint16
	local  bool // opened by this end

	// done is closed when the session has ended and can carry nothing more.
	done chan struct{}

	// Guarded by conn.mu: the sending direction, and how far the session has got.
	wcond    sync.Cond
	wbuf     []byte // bytes that the Write in progress has yet to hand over
	wbusy    bool   // a Write is in progress
	werr     error  // why nothing more is written; set once
	wdl      timing.Deadline
	sent     uint64      // payload bytes
	sendMax  uint64      // how many the peer allows
	opened   atomic.Bool // the peer knows the session; written under conn.mu
	fin      finState
	gotFin   bool
	ended    bool // out of the conn's table
	slot     slot
	gathered uint32 // the batch with its last coalesced frame
	due      bool   // a WINDOW is to be sent
	told     bool   // Hooks.SessionOpened has returned
	tellLate bool   // it ended before: opened calls Hooks.SessionClosed
	endErr   error  // for Hooks.SessionClosed

	basic atomic.Bool // the peer knows no windows; written under conn.mu

	// granted is the limit that WINDOW announces. Written under mu.
	granted atomic.Uint64

	// Guarded by mu: the receiving direction. Never hold mu together with conn.mu.
	mu      sync.Mutex
	rcond   sync.Cond
	rbuf    flow.Buffer
	lent    *flow.Chunk        // lent out by Borrow
	sink    func([][]byte) int // see Deliver; or nil
	onRead  func()             // see OnReadable; or nil
	onEnd   func(error, bool)  // see OnEnd; nil if not set or already called
	over    bool               // nothing written arrives any more
	overErr error              // why, or nil after a clean end
	silence silence
	handing bool  // bytes that have come are in the hands of sink
	rerr    error // ends reading when rbuf is empty; set once
	kept    bool  // rerr comes behind bytes that can still be read
	rclosed bool  // the application will read no more
	rdl     timing.Deadline
	flow    flow.Window
}

// finState is how far the end of our direction has got.
type finState uint8

const (
	finNone finState = iota
	finHeld          // wanted, but a basic peer would take it for the end of the session: see basic.go
	finWanted
	finSent
)

func newSession(c *Conn, number uint16) *Session {
	s := &Session{conn: c, number: number, done: make(chan struct{})}
	s.wcond.L = &c.mu
	s.rcond.L = &s.mu
	s.basic.Store(c.peer.kind == peerBasic)
	s.flow.Start(c.cfg.Budget, int64(c.cfg.WindowMax), c.peer.kind == peerBasic)
	s.granted.Store(s.flow.Limit)
	return s
}

// ID implements remux.Session.
func (s *Session) ID() ID { return ID{s.conn.id.Load(), s.number} }

// Done implements remux.Session.
func (s *Session) Done() <-chan struct{} { return s.done }

// Lower implements remux.Session.
func (s *Session) Lower() net.Conn { return s.conn.nc }

// LocalAddr returns the address of the lower connection.
func (s *Session) LocalAddr() net.Addr { return s.conn.nc.LocalAddr() }

// RemoteAddr returns the address of the lower connection's peer.
func (s *Session) RemoteAddr() net.Addr { return s.conn.nc.RemoteAddr() }

// ReportOpened reports a session that tryOpen began to the hooks.
func (s *Session) ReportOpened() { s.conn.opened(s) }

// Announce tells the peer of a session that has nothing to send yet, before
// its application waits for an answer.
func (s *Session) Announce() {
	if s.opened.Load() {
		return
	}
	c := s.conn
	c.mu.Lock()
	if !s.opened.Load() && !s.ended && len(s.wbuf) == 0 {
		c.sayOpenLocked(s)
	}
	c.mu.Unlock()
}
