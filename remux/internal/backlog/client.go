package backlog

import (
	"net"
	"net/netip"
	"strings"
)

// ClientOf returns the client that a connection belongs to, for sharing resources fairly:
// the name in its certificate, if the connection has a method PeerName() string that
// returns one, or else its remote address. An IPv6 client is identified by its /64. All
// connections on a UNIX socket belong to one client.
func ClientOf(nc net.Conn) string {
	if n, ok := nc.(interface{ PeerName() string }); ok && n.PeerName() != "" {
		return strings.ToLower(n.PeerName())
	}
	remote := nc.RemoteAddr()
	if remote == nil {
		return ""
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return ""
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		return p.String()
	}
	return addr.String()
}
