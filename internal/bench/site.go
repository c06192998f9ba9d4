package bench

import (
	"context"
	"net"
	"os/exec"

	"tunnels/internal/bench/role"
	"tunnels/internal/netpath"
)

// site is where processes run and connections are made: one end of a path, or this
// machine's own network if there is no path.
type site struct{ ns *netpath.Namespace }

// host returns the address to listen on for connections from the other end.
func (s site) host() string {
	if s.ns == nil {
		return "127.0.0.1"
	}
	return s.ns.Addr()
}

// freeAddr returns an unused address of host.
func (s site) freeAddr() string {
	if s.ns == nil {
		return role.FreeAddr()
	}
	return role.FreeAddrOn(s.host(), s.ns.Listen)
}

// start starts cmd here.
func (s site) start(cmd *exec.Cmd) error {
	if s.ns == nil {
		return cmd.Start()
	}
	return s.ns.Start(cmd)
}

// dial connects from here.
func (s site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.ns == nil {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return s.ns.Dial(ctx, network, address)
}
