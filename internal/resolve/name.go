package resolve

import (
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
)

const (
	maxName  = 253 // RFC 1035 section 2.3.4, not counting the final dot
	maxLabel = 63
)

// literal returns the addresses of a host that needs no query: an IP address, or a name
// that always means this machine (RFC 6761 section 6.3). It returns an error for a host
// that must not be queried. If it returns neither, host is a name to look up.
func literal(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return nil, badName(host, "has a zone, which is meaningless on another machine")
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	if what := checkName(host); what != "" {
		return nil, badName(host, what)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		// IPv4 first, because a caller that tries only one address finds most services
		// there.
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return nil, nil
}

// checkName explains why host is not a valid host name, or returns "".
func checkName(host string) string {
	host = strings.TrimSuffix(host, ".")
	switch {
	case host == "":
		return "is empty"
	case len(host) > maxName:
		return "is longer than 253 bytes"
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel {
			return "has a part that is empty or longer than 63 bytes"
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			case c > 0x7f:
				return "is not ASCII: use the form that begins with xn--"
			default:
				return "has a byte that is not allowed in names"
			}
		}
		last = label
	}
	// Some resolvers treat 127.1, 0x7f.1 or 2130706433 as addresses, others as names.
	// No top-level domain is numeric, so rejecting them loses nothing.
	if isNumber(last) {
		return numeric(host)
	}
	return ""
}

func badName(host, what string) error {
	return &code.Error{Code: code.HostUnreachable, Text: "host " + strconv.QuoteToASCII(host) + " " + what}
}
