package tunnel

import (
	"context"
	"time"
)

// Contact waits until a server has answered and returns its address and the round
// trip, or 0 if that cannot be measured. If ctx ends first, the error says why no
// server has. Where each request has a connection of its own, nothing is known
// before the first: server is "" then.
func (c *Client) Contact(ctx context.Context) (server string, rtt time.Duration, err error) {
	if !c.way.mux {
		return "", 0, nil
	}
	return c.servers.Contact(ctx)
}

// Sessions returns what the client carries now, the oldest first.
func (c *Client) Sessions() []Live { return c.live.All() }

// Sessions returns what the server carries now, the oldest first.
func (s *Server) Sessions() []Live { return s.live.All() }
