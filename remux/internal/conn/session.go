package conn

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/recv"
	"tunnels/remux/internal/timing"
)

// Session implements remux.Session.
type Session struct {
	// Immutable after construction.
	origin seat // where it was opened
	local  bool // opened by this end

	// at is where the session sends; it never receives anywhere else unless it is moving.
	// Written while holding mu of the old and the new conn; see lock.
	at atomic.Pointer[seat]

	// done is closed when the session has ended and can carry nothing more.
	done chan struct{}

	// Guarded by mu of the conn it sends on, see lock: the sending direction and the
	// session's progress.
	wcond      sync.Cond
	wbuf       []byte // bytes of the Write in progress not yet handed to the conn
	wbusy      bool   // a Write is in progress
	werr       error  // returned by Write from now on; set once
	wdl        timing.Deadline
	sent       uint64      // payload bytes sent
	sendMax    uint64      // payload bytes the peer allows
	opened     atomic.Bool // the peer knows about the session; written under conn.mu
	fin        finState
	gotFin     bool
	ended      bool // removed from the conn's table
	slot       slot
	gathered   uint32 // number of the batch that holds its last coalesced frame
	due        bool   // a WINDOW must be sent
	reported   bool   // Hooks.SessionOpened has returned
	reportLate bool   // it ended before reported was set: opened calls Hooks.SessionClosed
	endErr     error  // for Hooks.SessionClosed
	from       *seat  // on the dialer, where the session was, until the peer's LEAVE arrives there

	// Half is the receiving direction. Its lock is never held together with conn.mu.
	recv.Half[*Conn]
}

// finState is the progress of ending our direction.
type finState uint8

const (
	finNone finState = iota
	finHeld          // requested, but it would end the session for a basic peer: see basic.go
	finWanted
	finSent
)

func newSession(c *Conn, number uint16) *Session {
	s := &Session{origin: seat{Conn: c, Number: number}, done: make(chan struct{})}
	s.at.Store(&s.origin)
	s.wcond.L = writeSide{s}
	s.Start(halfOwner{s}, c, c.cfg.Budget, int64(c.cfg.WindowMax), c.peer.kind == peerBasic)
	return s
}

// ID implements remux.Session. It stays the same when the session moves.
func (s *Session) ID() ID { return ID{s.origin.Conn.id.Load(), s.origin.Number} }

// Done implements remux.Session.
func (s *Session) Done() <-chan struct{} { return s.done }

// Lower implements remux.Session.
func (s *Session) Lower() net.Conn { return s.at.Load().Conn.nc }

// LocalAddr returns the address of the lower connection.
func (s *Session) LocalAddr() net.Addr { return s.Lower().LocalAddr() }

// RemoteAddr returns the address of the lower connection's peer.
func (s *Session) RemoteAddr() net.Addr { return s.Lower().RemoteAddr() }

// ReportOpened reports to the hooks a session that TryOpen began.
func (s *Session) ReportOpened() { s.origin.Conn.opened(s) }

// Announce tells the peer about a session that has nothing to send yet, before its
// application waits for a response.
func (s *Session) Announce() {
	if s.opened.Load() {
		return
	}
	c := s.lock()
	if !s.opened.Load() && !s.ended && len(s.wbuf) == 0 {
		c.sendOpenLocked(s)
	}
	c.mu.Unlock()
}

// halfOwner implements recv.Owner.
type halfOwner struct{ *Session }

// WindowDue implements recv.Owner.
func (s halfOwner) WindowDue() { s.windowDue() }

// Abort implements recv.Owner.
func (s halfOwner) Abort(why *code.Error) { s.reset(why, false) }

// RTT implements recv.Owner.
func (s halfOwner) RTT() time.Duration { return s.at.Load().Conn.keepalive.RTT() }
