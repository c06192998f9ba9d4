package remux

import (
	"context"
	"errors"
	"net"
	"sync"

	"tunnels/internal/code"
	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/kin"
)

// SessionListener accepts the sessions that peers open, on all conns that it accepts.
// All methods are safe for concurrent use.
type SessionListener struct {
	// Immutable after construction.
	cfg     Config
	connCfg *conn.Config
	ln      net.Listener
	queue   *backlog.Queue

	wg sync.WaitGroup // the accept loop and the conns

	mu sync.Mutex
	// Guarded by mu.
	room    room
	closing bool
}

// NewListener accepts sessions on the lower connections from ln and takes ownership of
// ln. One goroutine calls ln.Accept, which should not wait for a client's handshake. Any
// error from ln.Accept stops the listener.
func (c Config) NewListener(ln net.Listener) *SessionListener {
	c = c.defaults()
	l := &SessionListener{
		cfg: c, connCfg: c.conn(), ln: ln,
		queue: backlog.NewQueue(),
		room:  room{all: map[*conn.Conn]struct{}{}, byClient: map[string]map[*conn.Conn]struct{}{}},
	}
	l.connCfg.Kin = kin.New[*conn.Conn]()
	l.wg.Go(l.acceptLoop)
	return l
}

// Accept waits for the next session, which is a Session. After Close it returns
// net.ErrClosed.
func (l *SessionListener) Accept() (net.Conn, error) { return l.queue.Take() }

// Addr returns the listener's address.
func (l *SessionListener) Addr() net.Addr { return l.ln.Addr() }

// Close closes the listener, its conns and their sessions immediately, and waits for the
// goroutines that serve them.
func (l *SessionListener) Close() error {
	conns := l.stop()
	for _, c := range conns {
		c.Kill()
	}
	l.wg.Wait()
	l.queue.Drop()
	return nil
}

// Shutdown stops accepting conns, tells the peers to open no more sessions, and waits
// until the open ones have ended or ctx is done. Then it closes the listener. Sessions in
// flight are still accepted, so keep calling Accept until it fails.
func (l *SessionListener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true // before Close, so that the accept loop knows why Accept fails
	conns := l.connsLocked()
	l.mu.Unlock()
	l.ln.Close()
	for _, c := range conns {
		c.GoAway(code.GoingAway, "the server is shutting down")
	}
	err := awaitConns(ctx, conns)
	return errors.Join(err, l.Close())
}

func (l *SessionListener) connsLocked() []*conn.Conn {
	conns := make([]*conn.Conn, 0, len(l.room.all))
	for c := range l.room.all {
		conns = append(conns, c)
	}
	return conns
}

func (l *SessionListener) stop() []*conn.Conn {
	defer l.ln.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	l.queue.Finish(net.ErrClosed)
	return l.connsLocked()
}

func (l *SessionListener) acceptLoop() {
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			l.mu.Lock()
			if !l.closing {
				l.queue.Finish(err)
			}
			l.mu.Unlock()
			return
		}
		c := conn.New(nc, l.connCfg, false, l.queue, listenerOwner{l})
		l.mu.Lock()
		victim, own, err := l.admitLocked(c.Client())
		if err == nil {
			l.room.add(c)
			l.wg.Go(c.Run)
		}
		l.mu.Unlock()
		if victim != nil {
			l.evict(victim, own)
		}
		if err != nil {
			l.cfg.Hooks.refused(c.Client(), c.Remote(), err)
			c.Refuse()
		}
	}
}

// listenerOwner implements conn.Owner for a listener, to keep these methods out of the
// listener's API.
type listenerOwner struct{ *SessionListener }

// ConnIdle implements conn.Owner. The dialing end closes idle conns.
func (l listenerOwner) ConnIdle(*conn.Conn) {}

// ConnGreeted implements conn.Owner.
func (l listenerOwner) ConnGreeted() {}

// SessionEnded implements conn.Owner.
func (l listenerOwner) SessionEnded() {}

// Answered implements conn.Owner.
func (l listenerOwner) Answered() {}

// ConnEnded implements conn.Owner.
func (l listenerOwner) ConnEnded(c *conn.Conn, _ error) {
	l.mu.Lock()
	l.room.remove(c)
	l.mu.Unlock()
}
