package remux

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
)

// conn is one lower connection and the sessions on it. Two goroutines serve
// it, the reader and the writer; run starts both and waits for them. A session's
// Write may take the writer's turn.
type conn struct {
	// Static after construction.
	nc     net.Conn
	now    nowWriter // nc, if it can; nil otherwise
	cfg    *Config
	dialer bool
	born   time.Time
	owner  owner
	done   chan struct{} // closed when run has ended and told everybody
	client string        // acceptor: whose it is, for fairness: the name in its certificate, or its address
	rtts   *rttSamples   // of all conns to that peer, or nil if they are not kept. Set before run

	id       atomic.Uint32
	bytes    atomic.Int64 // carried, both ways
	rttNanos atomic.Int64 // 0: not measured yet
	asked    atomic.Int64 // when ask asked, in nanoseconds since the birth; 0: never. Written under mu
	life     life
	avoided  atomic.Bool // the pool has passed it over as suspect: tell the owner when something comes

	mu sync.Mutex
	// Guarded by mu.
	wake      sync.Cond // the writer waits here
	writing   bool      // somebody has the turn to write to nc
	unsent    bool      // now.Flush is to be called; written by who has the turn
	sessions  map[uint16]*Session
	seen      seen // numbers the peer has opened
	nextID    uint32
	uses      int // sessions ever opened by this end
	overMax   int // uses that the pool allows while the successor is on its way; 0: not sent for
	locals    int // of the open ones, opened by this end
	peer      peerKind
	peerMax   int    // sessions the peer accepts at one time
	maxFrame  int    // largest payload the peer accepts
	sendInit  uint64 // what may be sent on a session before any WINDOW
	ctrl      []byte // control frames and small gathered ones to be sent, encoded
	pong      [8]byte
	pongDue   bool
	due       []*Session // with a WINDOW to be sent
	dueNow    bool       // and not only with the next frames that go out anyway
	pace      pace
	sched     scheduler
	crowd     crowd
	told      bool  // Hooks.ConnOpened was called
	err       error // why the conn ended; set once, with state
	state     connState
	spoke     bool          // its first frame has come
	served    bool          // the peer has opened a session
	drainFrom time.Duration // age at which GOAWAY was said
	closeFrom time.Duration // age at which closing began, or anything of ours was last acknowledged since
	closeSeen uint64        // netx.Sent.Moved then
	goneAway  bool          // the peer has said GOAWAY
	refuse    bool          // we have, and the peer knows: no new sessions
	barred    bool          // bar has said GOAWAY
	idleFrom  time.Time
	unheard   []uint16 // sessions reset before the peer's kind was known
	dropped   uint64   // payload bytes for sessions that are gone
}

// connState is how far the end of a conn has got.
//
//	open ──► draining ──► closing ──► dead
//	  └─────────┴────────────┴─────────►
type connState uint8

const (
	open     connState = iota
	draining           // GOAWAY was said; closing begins when the last session ends
	closing            // no session left; what is queued is flushed, then the peer's end awaited
	dead               // lost, or killed
)

// peerKind is what we know of the other end.
type peerKind uint8

const (
	peerUnknown peerKind = iota // a plain network, and nothing has come yet
	peerFull
	peerBasic // knows the four-byte frame and nothing else
)

// owner is told what a pool or listener needs to know. Called with no lock
// held.
type owner interface {
	connGreeted() // the peer's first frame has come
	sessionEnded(*Session)
	answered()                   // a conn that was suspect has received something
	connIdle(*conn)              // the last session has ended, or the peer says GOAWAY
	connEnded(*conn, error)      // nil: cleanly
	accept(*conn, *Session) bool // false: no room for the peer's session
}

// errDead is what ends a conn whose peer gives no sign of life.
var errDead = errors.New("no sign of life from the peer")

func newConn(nc net.Conn, cfg *Config, dialer bool, o owner) *conn {
	c := &conn{
		nc: nc, cfg: cfg, dialer: dialer, owner: o,
		born: time.Now(), done: make(chan struct{}),
		sessions: map[uint16]*Session{}, pace: newPace(),
		peerMax: lastID, maxFrame: maxPayload, sendInit: floor,
	}
	if now, ok := nc.(nowWriter); ok && now.CanWriteNow() {
		c.now = now
	}
	c.wake.L = &c.mu
	c.sched.quantum = c.pace.turn
	c.crowd.batch = 1 // no session has a frame in it
	c.idleFrom = c.born
	c.nextID = 2
	var id uint32
	if dialer {
		c.nextID = 1
		id = rand.Uint32()
		c.id.Store(id)
		c.told = true
	}
	switch n, ok := nc.(interface{ NegotiatedProtocol() string }); {
	case !ok:
	case n.NegotiatedProtocol() == Protocol:
		c.peer = peerFull
	default:
		c.peer = peerBasic
		c.sendInit = math.MaxUint64
	}
	if c.peer != peerBasic {
		accepts := uint32(cfg.SessMax)
		if dialer {
			accepts = 0 // servers open no sessions yet
		}
		c.ctrl = appendHello(c.ctrl, hello{
			version: version, conn: id, window: floor, sessions: accepts, frame: maxPayload,
		})
		c.life.pingLocked(c) // nobody else has the conn yet
	}
	return c
}

// Protocol is the ALPN name (RFC 7301) by which two ends that speak all of the
// protocol know each other on TLS. A lower connection with a method
// NegotiatedProtocol() string says by it whether its peer does.
const Protocol = "tunnels/1"

// run serves the conn until it has ended.
func (c *conn) run() {
	if c.dialer {
		c.cfg.Hooks.connOpened(c)
	} else if c.peer == peerBasic {
		c.tellOpened(rand.Uint32())
	}
	c.life.start(c)
	var writer sync.WaitGroup
	writer.Go(c.writeLoop)
	c.fail(c.readLoop())
	writer.Wait()
	c.nc.Close()

	c.mu.Lock()
	c.life.stopLocked()
	err, told := c.err, c.told
	c.mu.Unlock()
	if told {
		c.cfg.Hooks.connClosed(c, err)
	}
	c.owner.connEnded(c, err)
	close(c.done)
}

func (c *conn) connID() ConnID { return ConnID(c.id.Load()) }

func (c *conn) rtt() time.Duration { return time.Duration(c.rttNanos.Load()) }

// tellOpened is for the accepting end, which learns the id from HELLO.
func (c *conn) tellOpened(id uint32) {
	c.id.Store(id)
	c.mu.Lock()
	c.told = true
	c.mu.Unlock()
	c.cfg.Hooks.connOpened(c)
}

// fail ends the conn because of err, if it has not ended: at once, with all
// its sessions. When it was closing anyway, the end is clean.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.state == dead {
		c.mu.Unlock()
		return
	}
	clean := c.state == closing || c.cleanLocked(err)
	if c.err == nil && !clean {
		c.err = lost(err)
	}
	c.state = dead
	sessions := c.takeAllLocked()
	c.wake.Broadcast()
	c.mu.Unlock()

	if clean {
		c.nc.Close()
	} else {
		cut(c.nc)
	}
	c.abandon(sessions)
}

// cleanLocked: the peer closed its end of a conn that nobody used. A full peer
// says GOAWAY before it does.
func (c *conn) cleanLocked(err error) bool {
	return err == io.EOF && len(c.sessions) == 0 && (c.goneAway || c.state == draining || c.peer == peerBasic)
}

// lost is what a conn's end is called in the log and by its sessions.
func lost(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// takeAllLocked empties the conn because of c.err; abandon is to follow.
func (c *conn) takeAllLocked() []*Session {
	cause := c.err
	if cause == nil {
		cause = net.ErrClosed
	}
	err := fmt.Errorf("conn %s lost: %w", c.connID(), cause)
	all := make([]*Session, 0, len(c.sessions))
	for _, s := range c.sessions {
		all = append(all, s)
		c.removeLocked(s, err, err)
	}
	return all
}

// abandon completes takeAllLocked: what the sessions have received can still
// be read, then comes the error.
func (c *conn) abandon(sessions []*Session) {
	for _, s := range sessions {
		s.stopReading(s.endErr, true, false)
		c.gone(s)
	}
}

// violated ends the conn because of what the peer sent, and tells it why.
func (c *conn) violated(why *code.Error) {
	c.mu.Lock()
	if c.state == dead || c.state == closing {
		c.mu.Unlock()
		return
	}
	c.err = why
	c.state, c.closeFrom = closing, c.age()
	sessions := c.takeAllLocked()
	c.sayGoAwayLocked(why.Code, why.Text)
	c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(lingerMax))
	c.abandon(sessions)
}

// kill ends the conn and its sessions at once, without a word to the peer. The
// log calls it a clean end: it was wanted here.
func (c *conn) kill() { c.fail(nil) }

// drain says GOAWAY: the peer opens no new sessions, those that run finish,
// then the conn closes.
func (c *conn) drain(why code.Code, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open {
		return
	}
	c.state = draining
	c.drainFrom = c.age()
	c.sayGoAwayLocked(why, text)
	// The peer may have opened sessions that are on their way; they are
	// still served. What comes after its answer to this PING is not.
	c.life.barrierLocked(c)
	c.closeIfDoneLocked()
}

// retire is drain for the end that opens the sessions and is through with it.
func (c *conn) retire() { c.drain(code.OK, "") }

func (c *conn) sayGoAwayLocked(why code.Code, text string) {
	if c.peer != peerBasic {
		c.ctrl = appendEnding(c.ctrl, typeGoAway, c.seen.last, why, text)
	}
	c.wake.Signal()
}

// closeIfDoneLocked begins the end of a draining conn without sessions.
func (c *conn) closeIfDoneLocked() {
	if c.state == draining && len(c.sessions) == 0 && (c.refuse || c.dialer || c.peer == peerBasic) {
		c.state, c.closeFrom = closing, c.age()
		c.wake.Signal()
	}
}

// cut closes nc without waiting for a peer that does not read.
func cut(nc net.Conn) {
	if a, ok := nc.(interface{ Abort() error }); ok {
		a.Abort()
		return
	}
	nc.Close()
}
