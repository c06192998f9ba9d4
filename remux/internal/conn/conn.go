// Package conn carries sessions over one lower connection: it reads and writes the frames,
// opens and ends the sessions, keeps the peer alive and says GOAWAY. Package remux builds
// its pool and its listener on it.
package conn

import (
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/timing"
)

// Conn is one lower connection and the sessions on it, which either end may open where
// the other permits it. All methods are safe for concurrent use.
type Conn struct {
	// Two goroutines serve a conn, the reader and the writer; Run starts both and waits
	// for them. A session's Write may take the write lock and write by itself.

	// Static after construction.
	nc      net.Conn
	now     nowWriter // nc if it can write without waiting, or nil
	cfg     *Config
	dialer  bool // this end made the lower connection: its sessions have odd numbers
	accepts int  // sessions accepted from the peer at one time, as HELLO says
	born    time.Time
	owner   Owner
	queue   *backlog.Queue // for the sessions of the peer, or nil if it may open none
	client  string         // acceptor: the peer's name or address, by which clients share the room
	done    chan struct{}  // closed when Run has ended, after the hooks and the owner were called

	id        atomic.Uint32 // chosen by the dialer; the acceptor learns it from HELLO
	bytes     atomic.Int64  // carried, both ways
	keepalive keepalive     // its own comments name the locks

	// mu guards the groups below. It may be taken while the lock
	// of the pool or listener is held, never together with Session.mu.
	mu    sync.Mutex
	peer  peerState
	table table
	out   outgoing
	end   ending
}

// peerState describes the other end. Conn.mu guards it.
type peerState struct {
	kind     peerKind
	spoke    bool     // its first frame has come
	goneAway bool     // it has said GOAWAY
	sessMax  int      // sessions it accepts at one time
	maxFrame int      // largest payload it accepts
	window   uint64   // payload bytes that may be sent on a session before any WINDOW
	unheard  []uint16 // sessions reset before its kind was known
}

// table holds the sessions of a conn and counts them. Conn.mu guards it.
type table struct {
	sessions map[uint16]*Session
	changed  chan struct{} // closed when Open may do more than before; nil if no call waits
	seen     frame.Numbers // numbers the peer has opened
	nextID   uint32
	uses     int       // sessions ever opened by this end
	overMax  int       // uses the pool allows while the successor is being dialed, or 0 if none is
	locals   int       // open sessions that this end opened
	served   bool      // the peer has opened a session
	idleFrom time.Time // when the last session ended
	dropped  uint64    // payload bytes received for sessions that are gone
}

// outgoing holds the frames that wait to be written, and the write lock: while writing
// is true, one goroutine alone may write to nc. Conn.mu guards it.
type outgoing struct {
	wake      sync.Cond  // the writer waits here
	writing   bool       // the write lock is held
	unsent    bool       // now.Flush must be called before anything else is written
	ctrl      []byte     // encoded control frames and coalesced data frames
	due       []*Session // with a WINDOW to be sent
	dueNow    bool       // send the WINDOWs of due now, not only with the next frames
	pacer     flow.Pacer
	sched     scheduler
	coalescer coalescer
}

// ending records how and why a conn ends. Conn.mu guards it.
type ending struct {
	state     connState
	err       error         // why the conn ended, or nil after a clean end; set once, with state
	told      bool          // the id is known, and Hooks.ConnOpened was called, or by a dialer is about to be
	barred    bool          // bar has said GOAWAY
	refuse    bool          // this end has said GOAWAY and the peer knows: no new sessions
	drainFrom time.Duration // age at which GOAWAY was said
	closeFrom time.Duration // age at which closing began, or at the last acknowledgment since
	closeSeen uint64        // netx.Sent.Moved then
}

// connState is how far the end of a conn has got.
//
//	open ──► draining ──► closing ──► dead
//	  └─────────┴────────────┴─────────►
type connState uint8

const (
	open     connState = iota
	draining           // GOAWAY was said; closing begins when the last session ends
	closing            // no session left; queued frames are flushed, then the peer's end is awaited
	dead               // lost, or killed
)

// peerKind says which protocol the other end speaks.
type peerKind uint8

const (
	peerUnknown peerKind = iota // a plain network, and nothing has come yet
	peerFull
	peerBasic // knows the four-byte frame and nothing else
)

// Owner receives the events of a conn that its pool or listener needs. Its methods
// are called with no lock held.
type Owner interface {
	ConnGreeted()           // the peer's first frame has come
	SessionEnded()          // there may be room for another
	Answered()              // a conn that was suspect has received something
	ConnIdle(*Conn)         // the last session has ended, or the peer says GOAWAY
	ConnEnded(*Conn, error) // the error is nil after a clean end
}

// New makes a conn; Run serves it. The sessions that the peer opens go to queue, which
// is nil if it may open none.
func New(nc net.Conn, cfg *Config, dialer bool, queue *backlog.Queue, o Owner) *Conn {
	c := &Conn{
		nc: nc, cfg: cfg, dialer: dialer, queue: queue, owner: o,
		born: time.Now(), done: make(chan struct{}),
		peer: peerState{maxFrame: frame.MaxPayload, window: frame.Floor},
	}
	if queue != nil {
		c.accepts = max(cfg.SessMax, 0)
	}
	if !dialer {
		c.client = backlog.ClientOf(nc)
	}
	if now, ok := nc.(nowWriter); ok && now.CanWriteNow() {
		c.now = now
	}
	c.table.sessions, c.table.idleFrom, c.table.nextID = map[uint16]*Session{}, c.born, 2
	c.out.wake.L = &c.mu
	c.out.pacer = flow.NewPacer()
	c.out.sched.quantum = c.out.pacer.Quantum
	c.out.coalescer.batch = 1 // no session has a frame in it
	var id uint32
	if dialer {
		c.table.nextID = 1
		c.peer.sessMax = frame.LastID // HELLO may say less; an acceptor waits for it
		id = rand.Uint32()
		c.id.Store(id)
		c.end.told = true
	}
	switch n, ok := nc.(interface{ NegotiatedProtocol() string }); {
	case !ok:
	case n.NegotiatedProtocol() == Protocol:
		c.peer.kind = peerFull
	default:
		c.peer.kind = peerBasic
		c.peer.window = math.MaxUint64
	}
	if c.peer.kind != peerBasic {
		c.out.ctrl = frame.AppendHello(c.out.ctrl, frame.Hello{
			Version: frame.Version, Conn: id, Window: frame.Floor, Sessions: uint32(c.accepts), Frame: frame.MaxPayload,
		})
		c.keepalive.pingLocked(c) // no other goroutine has the conn yet
	}
	return c
}

// Protocol is the ALPN name (RFC 7301) by which two ends that speak all of the
// protocol know each other on TLS. A lower connection with a method
// NegotiatedProtocol() string returns it if its peer does.
const Protocol = "tunnels/1"

// Run serves the conn until it has ended.
func (c *Conn) Run() {
	if c.dialer {
		c.cfg.Hooks.connOpened(c)
	} else if c.peer.kind == peerBasic {
		c.tellOpened(rand.Uint32())
	}
	c.keepalive.start(c)
	var writer sync.WaitGroup
	writer.Go(c.writeLoop)
	c.fail(c.readLoop())
	writer.Wait()
	c.nc.Close()

	c.mu.Lock()
	c.keepalive.stopLocked()
	err, told := c.end.err, c.end.told
	c.mu.Unlock()
	if told {
		c.cfg.Hooks.connClosed(c, err)
	}
	c.owner.ConnEnded(c, err)
	close(c.done)
}

func (c *Conn) connID() ID { return ID{Conn: c.id.Load()} }

// Age returns how old the conn is.
func (c *Conn) Age() time.Duration { return time.Since(c.born) }

// AgeAt returns how old the conn is at that time.
func (c *Conn) AgeAt(now time.Time) time.Duration { return now.Sub(c.born) }

// KeepRTTs has the round trips noted in r. It is called before Run.
func (c *Conn) KeepRTTs(r *timing.RTTs) { c.keepalive.rtts = r }

// tellOpened reports the conn of an acceptor, which learns the id from HELLO. Only then
// may it open sessions. The conn's reader calls it.
func (c *Conn) tellOpened(id uint32) {
	c.id.Store(id)
	c.cfg.Hooks.connOpened(c)
	c.mu.Lock()
	c.end.told = true
	c.wakeOpenersLocked()
	c.mu.Unlock()
}
