package tunnel

// Sessions returns what the client carries now, the oldest first.
func (c *Client) Sessions() []Live { return c.live.All() }

// Sessions returns what the server carries now, the oldest first.
func (s *Server) Sessions() []Live { return s.live.All() }
