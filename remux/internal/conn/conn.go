// Package conn carries sessions over one lower connection: it reads and writes the
// frames, opens and ends the sessions, checks that the peer is alive and sends GOAWAY.
// Package remux builds its pool and its listener on it.
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
	"tunnels/remux/internal/kin"
	"tunnels/remux/internal/liveness"
	"tunnels/remux/internal/timing"
)

// Conn is one lower connection and the sessions on it, which either end may open if the
// other permits it. All methods are safe for concurrent use.
type Conn struct {
	// Two goroutines serve a conn, the reader and the writer; Run starts both and waits
	// for them. A session's Write may also take the write lock and write directly.

	// Immutable after construction.
	nc      net.Conn
	now     nowWriter // nc if it supports non-blocking writes, or nil
	cfg     *Config
	dialer  bool // this end dialed the lower connection: its sessions have odd numbers
	accepts int  // how many open sessions the peer may have, as announced in HELLO
	born    time.Time
	owner   Owner
	queue   *backlog.Queue // sessions opened by the peer, or nil if it may open none
	client  string         // acceptor only: the peer's name or address, used to share room between clients
	done    chan struct{}  // closed when Run returns, after the hooks and the owner have been called

	// Owned by the reader:
	kin    kin.Name // of the client process that an accepted conn belongs to
	kinned bool     // the conn is in cfg.Kin, and its sessions may move

	id        atomic.Uint32      // chosen by the dialer; the acceptor learns it from HELLO
	bytes     atomic.Int64       // bytes carried in both directions
	keepalive liveness.Keepalive // mu is the lock that it requires

	// mu guards the groups below. It may be acquired while holding the lock of the pool
	// or listener, but never together with the lock of a session's receiving half.
	mu    sync.Mutex
	peer  peerState
	table table
	out   outgoing
	end   ending
}

// peerState describes the other end. Conn.mu guards it.
type peerState struct {
	kind     peerKind
	spoke    bool     // its first frame has been received
	moves    bool     // its sessions may move: it has set the feature bit
	goneAway bool     // it has sent GOAWAY
	sessMax  int      // sessions it accepts at a time
	maxFrame int      // largest payload it accepts
	window   uint64   // payload bytes that may be sent on a session before any WINDOW
	unheard  []uint16 // sessions reset before its kind was known
}

// table holds the sessions of a conn and counts them. Conn.mu guards it.
type table struct {
	sessions map[uint16]*Session
	changed  chan struct{} // closed when a blocked Open should try again; nil if none is blocked
	seen     frame.Numbers // numbers of the sessions the peer has opened
	left     frame.Numbers // numbers of the sessions behind whose LEAVE the peer sends nothing here
	nextID   uint32
	uses     int       // sessions ever opened by this end
	overMax  int       // uses allowed while a successor is being dialed, or 0 if none is
	worn     bool      // it had no sessions when it was past a limit of reuse
	locals   int       // open sessions that this end opened
	served   bool      // the peer has opened a session
	idleFrom time.Time // when the last session ended
	dropped  uint64    // payload bytes received for sessions that had ended
}

// outgoing holds the frames to be written, and the write lock: while writing is true,
// only the goroutine that set it may write to nc. Conn.mu guards it.
type outgoing struct {
	wake      sync.Cond  // wakes the writer
	writing   bool       // the write lock is held
	unsent    bool       // now.Flush must be called before the next write
	ctrl      []byte     // encoded control frames and coalesced data frames
	due       []*Session // sessions with a WINDOW to send
	dueNow    bool       // send these WINDOWs now instead of with the next frames
	pacer     flow.Pacer
	sched     scheduler
	coalescer coalescer
}

// ending records how and why a conn ends. Conn.mu guards it.
type ending struct {
	state     connState
	err       error         // why the conn ended, or nil after a clean end; set once, together with state
	reported  bool          // the id is known and Hooks.ConnOpened has been called, or on a dialer is about to be
	barred    bool          // bar has sent GOAWAY
	refuse    bool          // the peer has read our GOAWAY: refuse new sessions
	drainFrom time.Duration // age at which GOAWAY was sent
	closeFrom time.Duration // age at the later of the start of closing and the last acknowledgment
	closeSeen uint64        // netx.Sent.Moved at closeFrom
}

// connState is the stage of a conn's life.
//
//	open ──► draining ──► closing ──► dead
//	  └─────────┴────────────┴─────────►
type connState uint8

const (
	open     connState = iota
	draining           // GOAWAY has been sent; closing begins when the last session ends
	closing            // no sessions left; flushing queued frames, then waiting for the peer to close
	dead               // lost, or killed
)

// peerKind is the protocol that the other end speaks.
type peerKind uint8

const (
	peerUnknown peerKind = iota // a plain network, and nothing received yet
	peerFull
	peerBasic // supports only the four-byte frame
)

// Owner is notified of the events on a conn that concern its pool or listener. Its
// methods are called with no lock held.
type Owner interface {
	ConnGreeted()           // the peer's first frame has been received
	SessionEnded()          // there may be room for a new one
	Answered()              // a conn that was suspect has received something
	ConnIdle(*Conn)         // there are no sessions: the last has ended, or the peer has sent GOAWAY
	ConnEnded(*Conn, error) // the error is nil after a clean end
}

// New creates a conn; Run serves it. Sessions opened by the peer go to queue, which is
// nil if it may open none.
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
	c.keepalive.Init(nc, c.born, cfg.Ping)
	c.out.wake.L = &c.mu
	c.out.pacer = flow.NewPacer()
	c.out.sched.quantum = c.out.pacer.Quantum
	c.out.coalescer.batch = 1 // no session has a frame in it
	var id uint32
	if dialer {
		c.table.nextID = 1
		c.peer.sessMax = frame.LastID // HELLO may lower this; an acceptor waits for it
		id = rand.Uint32()
		c.id.Store(id)
		c.end.reported = true
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
			Features: cfg.features(dialer), Instance: cfg.Instance,
		})
		c.pingLocked() // no other goroutine can see the conn yet
	}
	return c
}

// Protocol is the ALPN name (RFC 7301) by which two ends that speak the full protocol
// recognize each other over TLS. If a lower connection has a method NegotiatedProtocol()
// string, it returns the protocol negotiated with the peer.
const Protocol = "tunnels/1"

// Run serves the conn until it has ended.
func (c *Conn) Run() {
	if c.dialer {
		c.cfg.Hooks.connOpened(c)
	} else if c.peer.kind == peerBasic {
		c.reportOpened(rand.Uint32())
	}
	c.mu.Lock()
	c.keepalive.StartLocked(c.tick)
	c.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(c.writeLoop)
	c.fail(c.readLoop())
	writer.Wait()
	c.leaveKin()
	c.nc.Close()

	c.mu.Lock()
	c.keepalive.StopLocked()
	err, reported := c.end.err, c.end.reported
	c.mu.Unlock()
	if reported {
		c.cfg.Hooks.connClosed(c, err)
	}
	c.owner.ConnEnded(c, err)
	close(c.done)
}

func (c *Conn) connID() ID { return ID{Conn: c.id.Load()} }

// Age returns the conn's age.
func (c *Conn) Age() time.Duration { return time.Since(c.born) }

// AgeAt returns the conn's age at the given time.
func (c *Conn) AgeAt(now time.Time) time.Duration { return now.Sub(c.born) }

// KeepRTTs makes the conn record its round trips in r. It must be called before Run.
func (c *Conn) KeepRTTs(r *timing.RTTs) { c.keepalive.RTTs = r }

// reportOpened reports the conn to the hooks on an acceptor, which learns the ID from
// HELLO and may open sessions only after that. The conn's reader calls it.
func (c *Conn) reportOpened(id uint32) {
	c.id.Store(id)
	c.cfg.Hooks.connOpened(c)
	c.mu.Lock()
	c.end.reported = true
	c.wakeOpenersLocked()
	c.mu.Unlock()
}
