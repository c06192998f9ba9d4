package remux

import (
	"context"
	"errors"
	"net"
	"sync"

	"tunnels/internal/code"
)

// SessionListener accepts the sessions that peers open, on all conns that come
// in. All methods are safe for concurrent use.
type SessionListener struct {
	// Static after construction.
	cfg   Config
	ln    net.Listener
	queue *acceptQueue

	wg sync.WaitGroup // the accept loop and the conns

	mu sync.Mutex
	// Guarded by mu.
	room    room
	closing bool
}

// NewListener accepts sessions from the lower connections of ln, which it owns
// from now on. ln's Accept is called from one goroutine and should not wait for
// one client's handshake; an error of it that is not net.ErrClosed ends the
// listener.
func (c Config) NewListener(ln net.Listener) *SessionListener {
	l := &SessionListener{
		cfg: c.defaults(), ln: ln,
		queue: newAcceptQueue(),
		room:  room{all: map[*Conn]struct{}{}, byClient: map[string]map[*Conn]struct{}{}},
	}
	l.wg.Go(l.acceptLoop)
	return l
}

// Accept waits for the next session. Its dynamic type is *session. After Close
// it returns net.ErrClosed.
func (l *SessionListener) Accept() (net.Conn, error) { return l.queue.take() }

// Addr is where the listener is reached.
func (l *SessionListener) Addr() net.Addr { return l.ln.Addr() }

// Close ends everything at once: the listener, its conns and their sessions. It
// waits for what served them.
func (l *SessionListener) Close() error {
	conns := l.stop()
	for _, c := range conns {
		c.kill()
	}
	l.wg.Wait()
	l.queue.drop()
	return nil
}

// Shutdown takes no more conns, tells the peers to open no more sessions, and
// waits for those that run until ctx ends; then it closes. Sessions that were
// on their way are still accepted: go on calling Accept until it fails.
func (l *SessionListener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true // first: the accept loop must know why it fails
	conns := l.connsLocked()
	l.mu.Unlock()
	l.ln.Close()
	for _, c := range conns {
		c.drain(code.GoingAway, "the server is being stopped")
	}
	err := awaitConns(ctx, conns)
	return errors.Join(err, l.Close())
}

func (l *SessionListener) connsLocked() []*Conn {
	conns := make([]*Conn, 0, len(l.room.all))
	for c := range l.room.all {
		conns = append(conns, c)
	}
	return conns
}

func (l *SessionListener) stop() []*Conn {
	defer l.ln.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	l.queue.finish(net.ErrClosed)
	return l.connsLocked()
}

func (l *SessionListener) acceptLoop() {
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			l.mu.Lock()
			if !l.closing {
				l.queue.finish(err)
			}
			l.mu.Unlock()
			return
		}
		c := newConn(nc, &l.cfg, false, l.queue, l)
		c.client = clientOf(nc)
		l.mu.Lock()
		gives, own, err := l.admitLocked(c.client)
		if err == nil {
			l.room.add(c)
			l.wg.Go(c.run)
		}
		l.mu.Unlock()
		if gives != nil {
			l.giveWay(gives, own)
		}
		if err != nil {
			l.cfg.Hooks.refused(c.client, remoteOf(nc), err)
			cut(nc)
		}
	}
}

// connIdle is the owner's part. Idle conns are the dialing end's to close.
func (l *SessionListener) connIdle(*Conn) {}

// connGreeted is the owner's part.
func (l *SessionListener) connGreeted() {}

// sessionEnded is the owner's part.
func (l *SessionListener) sessionEnded() {}

// answered is the owner's part.
func (l *SessionListener) answered() {}

// connEnded is the owner's part.
func (l *SessionListener) connEnded(c *Conn, _ error) {
	l.mu.Lock()
	l.room.remove(c)
	l.mu.Unlock()
}
