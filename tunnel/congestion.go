package tunnel

import (
	"context"
	"net"
)

// tune returns a function that sets the congestion control of a new connection between
// client and server, and reports it.
func (c *Config) tune(e *Events) func(net.Conn) {
	choice := c.Congestion
	return func(conn net.Conn) {
		if use, ok := choice.Apply(conn); ok {
			e.CongestionChosen(use)
		}
	}
}

// dialFunc dials a server.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// tuned returns a function that calls tune for each connection that dial returns.
func tuned(dial dialFunc, tune func(net.Conn)) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tune(conn)
		return conn, nil
	}
}
