package policy

import (
	"cmp"
	"net/netip"
	"strings"
)

// nat64 is the well-known prefix for reaching IPv4 addresses from an IPv6 network (RFC
// 6052); the last four bytes are the IPv4 address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// forms returns the forms in which addr is matched: without its zone, because no prefix
// contains an address with one, and as the IPv4 address embedded in it, which is
// invalid if there is none.
func forms(addr netip.Addr) [2]netip.Addr {
	addr = addr.Unmap().WithZone("")
	f := [2]netip.Addr{addr}
	if nat64.Contains(addr) {
		b := addr.As16()
		f[1] = netip.AddrFrom4([4]byte(b[12:]))
	}
	return f
}

// MatchAddr reports whether an entry contains the address at that port. Entries for an
// IPv4 address also match its IPv4-mapped and NAT64 forms.
func (l *List) MatchAddr(a netip.AddrPort) bool {
	_, ok := l.matchAddr(a, nil)
	return ok
}

// MatchName reports whether an entry contains the name at that port. Case and a trailing
// dot are ignored; a host that is an IP address is matched as an address.
func (l *List) MatchName(host string, port uint16) bool {
	_, ok := l.matchName(host, port, nil)
	return ok
}

// Empty reports whether the list has no entries.
func (l *List) Empty() bool { return l == nil || len(l.entries) == 0 }

// Called returns the list's Name, or other if it is unnamed.
func (l *List) Called(other string) string {
	if l == nil {
		return other
	}
	return cmp.Or(l.Name, other)
}

// String returns the list in a form that Parse reads.
func (l *List) String() string {
	if l == nil {
		return ""
	}
	texts := make([]string, len(l.entries))
	for i, e := range l.entries {
		texts[i] = e.text
	}
	return strings.Join(texts, ",")
}

// ownFunc reports whether an address belongs to this machine; nil if unknown.
type ownFunc = func(netip.Addr) bool

// matchAddr returns the text of the first entry that matches.
func (l *List) matchAddr(a netip.AddrPort, own ownFunc) (rule string, ok bool) {
	if l == nil {
		return "", false
	}
	fs := forms(a.Addr())
	for i := range l.entries {
		if e := &l.entries[i]; e.atPort(a.Port()) && e.hasAddr(fs, own) {
			return e.text, true
		}
	}
	return "", false
}

// matchName returns the text of the first entry that matches.
func (l *List) matchName(host string, port uint16, own ownFunc) (rule string, ok bool) {
	if l == nil {
		return "", false
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return l.matchAddr(netip.AddrPortFrom(a, port), own)
	}
	host = canonicalName(host)
	for i := range l.entries {
		if e := &l.entries[i]; e.atPort(port) && e.hasName(host) {
			return e.text, true
		}
	}
	return "", false
}

func (e *entry) atPort(port uint16) bool { return e.port == 0 || e.port == port }

func (e *entry) hasAddr(fs [2]netip.Addr, own ownFunc) bool {
	if e.all {
		return true
	}
	for _, f := range fs {
		if e.own && own != nil && f.IsValid() && own(f) {
			return true
		}
	}
	for _, p := range e.prefixes {
		if p.Contains(fs[0]) || p.Contains(fs[1]) { // no prefix contains an invalid address
			return true
		}
	}
	return false
}

func (e *entry) hasName(host string) bool {
	switch {
	case e.all:
		return true
	case e.name == "":
		return false
	case e.below:
		above, ok := strings.CutSuffix(host, e.name)
		return ok && len(above) > 1 && above[len(above)-1] == '.'
	}
	return host == e.name
}
