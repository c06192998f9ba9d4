package policy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
)

// Exit judges targets. Deny wins; Allow overrides the default denials; a target in
// neither list is allowed unless it is denied by default. A client's rules (For) can
// restrict it further and allow more, but cannot allow anything in Deny. The zero Exit
// has only the default denials. It is safe for concurrent use.
type Exit struct {
	Allow, Deny *List
	// Own reports whether an address belongs to this machine. Such addresses are denied
	// by default, because services that listen there may rely on a firewall in front of
	// the exit. If Own is nil, the addresses are unknown. The entries self and loopback
	// include them.
	Own func(netip.Addr) bool

	client *Rules // nil if there are none
}

// denied lists the prefixes denied by default, in the order they are checked.
var denied = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"}, // includes cloud metadata
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("168.63.129.16/32"), "cloud metadata"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved or cloud metadata"}, // RFC 6890
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "private"}, // RFC 6598
	{netip.MustParsePrefix("198.18.0.0/15"), "private"}, // RFC 2544: test networks
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fec0::/10"), "private"},   // site-local, RFC 3879
	{netip.MustParsePrefix("0.0.0.0/8"), "this host"}, // Linux connects 0.0.0.0 to itself
	{netip.MustParsePrefix("::/128"), "this host"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast"},
	{netip.MustParsePrefix("::/96"), "reserved"},                  // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("2002::/16"), "6to4"},                  // these three contain an
	{netip.MustParsePrefix("2001::/32"), "Teredo"},                // IPv4 address that may be
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated"}, // in any of the ranges above
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64"},      // RFC 8215: the embedded IPv4 address is unknown
}

// AllowName judges a target before its name is resolved. A nil error is not final,
// because the addresses it resolves to must still pass AllowAddr. The error is a
// *code.Error with code.NotAllowed that names the rule. A host that is an IP address is
// judged as an address.
func (e *Exit) AllowName(host string, port uint16) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return e.AllowAddr(netip.AddrPortFrom(a, port), "")
	}
	if rule, ok := e.Deny.matchName(host, port, e.Own); ok {
		return e.deniedBy(printable(host), port, rule)
	}
	if why := e.client.nameRefused(host, port, e.Own); why != "" {
		return notAllowed("target %s: %s", join(printable(host), port), why)
	}
	return nil
}

// AllowAddr judges an address right before it is dialed; viaName is the name that
// resolved to it, or empty if the target was given as an address. An entry for the name
// in Allow allows all addresses it resolves to. The error is a *code.Error with
// code.NotAllowed that names the rule.
func (e *Exit) AllowAddr(a netip.AddrPort, viaName string) error {
	target := a.Addr().Unmap().String()
	if viaName != "" {
		target = printable(viaName) + " (" + target + ")"
		if rule, ok := e.Deny.matchName(viaName, a.Port(), e.Own); ok {
			return e.deniedBy(target, a.Port(), rule)
		}
	}
	if !a.Addr().IsValid() {
		return notAllowed("target %s has no address", target)
	}
	if rule, ok := e.Deny.matchAddr(a, e.Own); ok {
		return e.deniedBy(target, a.Port(), rule)
	}
	if why := e.client.addrRefused(a, viaName, e.Own); why != "" {
		return notAllowed("target %s: %s", join(target, a.Port()), why)
	}
	if e.Allow.match(a, viaName, e.Own) || e.client.allow().match(a, viaName, e.Own) {
		return nil
	}
	for _, f := range forms(a.Addr()) {
		for _, d := range denied {
			if d.prefix.Contains(f) {
				return notAllowed("target %s is %s (%s): %s",
					join(target, a.Port()), d.why, d.prefix, e.unnamed(entryFor(a, viaName)))
			}
		}
		if e.Own != nil && f.IsValid() && e.Own(f) {
			return notAllowed("target %s is an address of the exit's own machine: %s", join(target, a.Port()), e.unnamed(wordSelf+":"+strconv.Itoa(int(a.Port()))))
		}
	}
	return nil
}

// unnamed describes the lists that could allow the target, and the entry that would do
// so.
func (e *Exit) unnamed(entry string) string {
	name := e.Allow.Called("allow")
	if e.client == nil {
		return name + " does not include it (" + name + " " + entry + " would)"
	}
	return "neither " + name + " nor the allow list of " + e.client.Who + " includes it (allow = " + entry + " would)"
}

// entryFor returns the list entry that matches only the address, or only the name that
// resolved to it.
func entryFor(a netip.AddrPort, viaName string) string {
	port := strconv.Itoa(int(a.Port()))
	if entry := viaName + ":" + port; viaName != "" {
		if _, err := parseEntry(entry); err == nil {
			return entry
		}
	}
	return net.JoinHostPort(a.Addr().Unmap().WithZone("").String(), port)
}

func (e *Exit) deniedBy(target string, port uint16, rule string) error {
	return notAllowed("target %s: %s contains %s", join(target, port), e.Deny.Called("deny"), rule)
}

func notAllowed(format string, a ...any) error {
	return &code.Error{Code: code.NotAllowed, Text: fmt.Sprintf(format, a...)}
}

func join(target string, port uint16) string {
	if strings.HasSuffix(target, ")") { // a name followed by its address
		return target + " port " + strconv.Itoa(int(port))
	}
	return net.JoinHostPort(target, strconv.Itoa(int(port)))
}

// printable returns a name from an untrusted source with everything but printable ASCII
// escaped.
func printable(name string) string {
	q := strconv.QuoteToASCII(name)
	return q[1 : len(q)-1]
}
