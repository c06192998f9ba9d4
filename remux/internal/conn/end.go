package conn

import (
	"fmt"
	"io"
	"net"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/frame"
)

// fail closes the conn and all its sessions immediately because of err, unless it has
// already ended. If it was already closing, it counts as closed cleanly.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.end.state == dead {
		c.mu.Unlock()
		return
	}
	c.spareLocked(err)
	clean := c.end.state == closing || c.cleanLocked(err)
	if c.end.err == nil && !clean {
		c.end.err = lost(err)
	}
	c.end.state = dead
	sessions, elsewhere := c.takeAllLocked()
	c.wakeOpenersLocked()
	c.out.wake.Broadcast()
	c.mu.Unlock()

	if clean {
		c.nc.Close()
	} else {
		cut(c.nc)
	}
	c.abandon(sessions, elsewhere)
}

// cleanLocked reports whether the peer closed a conn that had no sessions. A full peer
// sends GOAWAY first.
func (c *Conn) cleanLocked(err error) bool {
	return err == io.EOF && len(c.table.sessions) == 0 && (c.peer.goneAway || c.end.state == draining || c.peer.kind == peerBasic)
}

// spareLocked removes from a conn that the peer has closed in order the sessions that have
// ended at the peer. Their end, or data before it, is still to arrive on the conn that they
// are moving from.
func (c *Conn) spareLocked(err error) {
	if err != io.EOF || !c.peer.goneAway && c.end.state != draining {
		return
	}
	for number, s := range c.table.sessions {
		if s.HeldEnd() || s.at.Load().Conn == c && s.from != nil {
			c.removeEntryLocked(s, number)
		}
	}
}

// lost returns the error that a lost conn reports to its hooks and its sessions.
func lost(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// takeAllLocked removes all sessions, which fail with c.end.err. The caller must call
// abandon for them once no lock is held.
//
// Sessions that are moving and send on another conn are only removed from this one's
// table, and returned separately.
func (c *Conn) takeAllLocked() (all, elsewhere []*Session) {
	err := c.lossLocked()
	all = make([]*Session, 0, len(c.table.sessions))
	for number, s := range c.table.sessions {
		if s.at.Load().Conn != c {
			elsewhere = append(elsewhere, s)
			c.removeEntryLocked(s, number)
			continue
		}
		all = append(all, s)
		c.removeLocked(s, err, err)
	}
	return all, elsewhere
}

// lossLocked returns the error for operations interrupted by the loss of the conn.
func (c *Conn) lossLocked() error {
	cause := c.end.err
	if cause == nil {
		cause = net.ErrClosed
	}
	return fmt.Errorf("conn %s lost: %w", c.connID(), cause)
}

// abandon completes takeAllLocked: received bytes can still be read, followed by the
// error.
func (c *Conn) abandon(sessions, elsewhere []*Session) {
	for _, s := range sessions {
		s.StopReading(s.endErr, true, false)
		c.gone(s)
	}
	if len(elsewhere) == 0 {
		return
	}
	c.mu.Lock()
	err := c.lossLocked()
	c.mu.Unlock()
	for _, s := range elsewhere {
		s.lost(err)
	}
}

// violated closes the conn because the peer broke the protocol, and sends it the reason.
func (c *Conn) violated(why *code.Error) {
	c.mu.Lock()
	if c.end.state == dead || c.end.state == closing {
		c.mu.Unlock()
		return
	}
	c.end.err = why
	c.end.state, c.end.closeFrom = closing, c.Age()
	sessions, elsewhere := c.takeAllLocked()
	c.wakeOpenersLocked()
	c.sendGoAwayLocked(why.Code, why.Text)
	c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(lingerMax))
	c.abandon(sessions, elsewhere)
}

// Kill closes the conn and its sessions immediately, without notifying the peer. It is
// reported as a clean end, because it is deliberate.
func (c *Conn) Kill() { c.fail(nil) }

// drain sends GOAWAY. The peer then opens no new sessions, and the conn closes once the
// open ones have finished.
func (c *Conn) drain(why code.Code, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.state != open {
		return
	}
	c.end.state = draining
	c.end.drainFrom = c.Age()
	c.wakeOpenersLocked()
	c.sendGoAwayLocked(why, text)
	// Sessions that the peer opened before it read GOAWAY are still served; those that
	// arrive after its PONG are not.
	c.pingLocked()
	c.keepalive.BarrierLocked()
	c.closeIfDoneLocked()
}

// Retire drains a conn that this end, which opens the sessions, no longer needs.
func (c *Conn) Retire() { c.drain(code.OK, "") }

func (c *Conn) sendGoAwayLocked(why code.Code, text string) {
	if c.peer.kind != peerBasic {
		c.out.ctrl = frame.AppendEnding(c.out.ctrl, frame.TypeGoAway, c.table.seen.Last, why, text)
	}
	c.out.wake.Signal()
}

// closeIfDoneLocked starts closing a draining conn without sessions. If the peer may open
// sessions, its PONG for the PING sent after GOAWAY must have arrived.
func (c *Conn) closeIfDoneLocked() {
	if c.end.state == draining && len(c.table.sessions) == 0 && (c.end.refuse || c.dialer && c.accepts == 0 || c.peer.kind == peerBasic) {
		c.end.state, c.end.closeFrom = closing, c.Age()
		c.out.wake.Signal()
	}
}

// Refuse closes a conn that was never run.
func (c *Conn) Refuse() { cut(c.nc) }

// cut closes nc without waiting for a peer that is not reading.
func cut(nc net.Conn) {
	if a, ok := nc.(interface{ Abort() error }); ok {
		a.Abort()
		return
	}
	nc.Close()
}
