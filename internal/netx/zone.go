package netx

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// ZoneProblem describes the problem with the zone of a host:port to listen on or dial,
// or returns "". A link-local address is valid only with an interface.
func ZoneProblem(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() || ip.Is4In6() || !ip.IsLinkLocalUnicast() {
		return ""
	}
	if ip.Zone() == "" {
		return fmt.Sprintf("%s is a link-local address, which needs an interface: [%s%%INTERFACE]:%s", ip, ip, port)
	}
	if _, err := net.InterfaceByName(ip.Zone()); err != nil && !isIndex(ip.Zone()) {
		return fmt.Sprintf("%s: this machine has no interface %q", address, ip.Zone())
	}
	return ""
}

// isIndex reports whether zone is the number of an interface.
func isIndex(zone string) bool {
	n, err := strconv.Atoi(zone)
	if err != nil {
		return false
	}
	_, err = net.InterfaceByIndex(n)
	return err == nil
}
