package resolve

import (
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
)

const (
	maxName  = 253 // RFC 1035 section 2.3.4, without the final dot
	maxLabel = 63
)

// literal is the addresses of what need not be asked for: addresses, and the
// names that always mean this machine (RFC 6761 section 6.3). It refuses what
// must not be asked for. Without either, host is a name.
func literal(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return nil, badName(host, "has a zone, which means nothing to another machine")
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	if what := checkName(host); what != "" {
		return nil, badName(host, what)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		// IPv4 first: who takes but one finds most servers there.
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return nil, nil
}

// checkName is what keeps host from being a host name; empty: nothing.
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
				return "is not ASCII: the form to ask for begins with xn--"
			default:
				return "has a byte that no name has"
			}
		}
		last = label
	}
	// Some resolvers take 127.1, 0x7f.1 or 2130706433 for addresses, others for names.
	// There is no such top level, so nothing is lost.
	if isNumber(last) {
		return numeric(host)
	}
	return ""
}

func badName(host, what string) error {
	return &code.Error{Code: code.HostUnreachable, Text: "host " + strconv.QuoteToASCII(host) + " " + what}
}
