package conn

import (
	"context"
	"errors"
	"fmt"
	"net"

	"tunnels/internal/code"
	"tunnels/remux/internal/backlog"
	"tunnels/remux/internal/frame"
)

// errNotPermitted is returned by Open if the peer accepts no sessions.
var errNotPermitted = errors.New("the peer accepts no sessions on this conn")

// Start creates and serves a conn that belongs to no pool or listener. dialed reports
// whether this end dialed the lower connection.
func Start(nc net.Conn, cfg *Config, dialed bool) *Conn {
	c := New(nc, cfg, dialed, backlog.NewQueue(), alone{})
	go c.Run()
	return c
}

// Open opens a session; see remux.Conn.
func (c *Conn) Open(ctx context.Context) (*Session, error) {
	for {
		s, changed, err := c.openOrWait()
		if err != nil {
			return nil, err
		}
		if s != nil {
			c.opened(s)
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting to open a session on conn %s: %w", c.connID(), context.Cause(ctx))
		}
	}
}

// openOrWait begins a session, or returns an error, or a channel that is closed when
// trying again may succeed.
func (c *Conn) openOrWait() (*Session, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.end.reported || c.peer.kind == peerBasic // the peer's HELLO has arrived, or never will
	switch {
	case c.end.state == dead:
		return nil, nil, c.lossLocked()
	case c.end.state != open || c.peer.goneAway || c.table.nextID > frame.LastID:
		return nil, nil, errNoRoom
	case known && c.peer.sessMax == 0:
		return nil, nil, errNotPermitted
	case known && c.takesLocked():
		return c.beginLocked(), nil, nil
	}
	if c.table.changed == nil {
		c.table.changed = make(chan struct{})
	}
	return nil, c.table.changed, nil
}

// wakeOpenersLocked makes blocked Open calls try again.
func (c *Conn) wakeOpenersLocked() {
	if c.table.changed != nil {
		close(c.table.changed)
		c.table.changed = nil
	}
}

// Accept waits for the next session that the peer opens. Once the conn has ended and all
// sessions have been returned, it returns net.ErrClosed, or the reason the conn was lost.
func (c *Conn) Accept() (net.Conn, error) { return c.queue.Take() }

// Peer returns the name in the peer's certificate or, if it has none, the address.
func (c *Conn) Peer() string { return backlog.ClientOf(c.nc) }

// Done returns a channel that is closed when the conn has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// GoAway tells the peer that this end accepts no more sessions, and why; code.OK means an
// ordinary shutdown. After that, neither end opens sessions, apart from any already in
// flight. Open sessions continue, and the conn closes after the last one. GoAway does not
// block.
func (c *Conn) GoAway(why code.Code, text string) { c.drain(why, text) }

// Close closes the conn and its sessions immediately, and waits for the goroutines that
// serve it.
func (c *Conn) Close() error {
	c.Kill()
	<-c.done
	c.queue.Drop()
	return nil
}

// alone is the owner of a conn that belongs to no pool or listener.
type alone struct{}

// ConnGreeted implements Owner.
func (alone) ConnGreeted() {}

// SessionEnded implements Owner.
func (alone) SessionEnded() {}

// Answered implements Owner.
func (alone) Answered() {}

// ConnIdle implements Owner. An idle conn stays open until its user closes it.
func (alone) ConnIdle(*Conn) {}

// ConnEnded implements Owner. It makes Accept fail once its queue is empty.
func (alone) ConnEnded(c *Conn, err error) {
	if err == nil {
		err = net.ErrClosed
	}
	c.queue.Finish(err)
}
