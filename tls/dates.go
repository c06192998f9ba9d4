package tls

import "time"

// PeerNotAfter returns when the peer's certificate expires.
func (c *Conn) PeerNotAfter() time.Time { return c.peer[0].NotAfter }

// NotAfter returns when the client's own certificate expires.
func (c *Client) NotAfter() time.Time { return c.store.now.Load().pair.Leaf.NotAfter }
