package tunnel

// Sessions returns the client's live requests, oldest first.
func (c *Client) Sessions() []Live { return c.live.All() }

// Sessions returns the server's live requests, oldest first.
func (s *Server) Sessions() []Live { return s.live.All() }
