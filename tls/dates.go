package tls

import "time"

// PeerNotAfter returns when the peer's certificate ends.
func (c *Conn) PeerNotAfter() time.Time { return c.peer[0].NotAfter }

// NotAfter returns when the client's own certificate ends.
func (c *Client) NotAfter() time.Time { return c.store.now.Load().pair.Leaf.NotAfter }
