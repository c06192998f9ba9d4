package conn

import "time"

// noteReceived records n received bytes.
func (c *Conn) noteReceived(n int) {
	c.bytes.Add(int64(n))
	if c.keepalive.NoteReceived() {
		c.owner.Answered()
	}
}

// noteWritten records that the lower connection accepted n bytes. The caller holds the
// write lock.
func (c *Conn) noteWritten(n int) {
	c.bytes.Add(int64(n))
	if !c.keepalive.WantsWritten() {
		return
	}
	c.mu.Lock()
	c.keepalive.WrittenLocked(n)
	c.mu.Unlock()
}

// pingLocked sends a PING, unless the peer is basic; if nothing is received after it, the
// conn is lost.
func (c *Conn) pingLocked() {
	if c.peer.kind != peerBasic {
		c.out.ctrl = c.keepalive.AppendPingLocked(c.out.ctrl)
		c.out.wake.Signal()
	}
}

// AskedAt returns when Ask began to expect a response that has yet to arrive, or the zero
// time if it expects none.
func (c *Conn) AskedAt() time.Time { return c.keepalive.AskedAt() }
