package tunnel

import (
	"net"

	"tunnels/eagersocks"
	"tunnels/internal/door"
	"tunnels/internal/httpdoor"
)

// newDoors returns the front door on lower, a listener with a door for each protocol
// that applications speak.
func (c *Client) newDoors(lower net.Listener) eagersocks.Listener {
	socks, web := c.cfg.Eager, c.cfg.Web
	if c.users != nil {
		socks.Users, web.Users = c.users, c.users
	}
	web.Rejected = c.rejected
	read := door.FirstByte[*eagersocks.Request](socks.NewSocksDoor(), httpdoor.New(web))
	return door.Listen(lower, read, door.Config{Timeout: socks.GreetingTimeout, Max: socks.PendingMax, Rejected: c.rejected})
}
