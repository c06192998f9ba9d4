package httpdoor

import (
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/socksaddr"
)

// defaultPort is the default port for http:// URLs.
const defaultPort = 80

// Reasons to reject a target. None repeats the target, which may contain a password.
const (
	wantBrackets = "an IPv6 address with a port must be in brackets, as in [ADDRESS]:PORT"
	wantPort     = "its port is not a number from 1 to 65535"
)

// connectTarget parses the host:port of CONNECT. Because the port is mandatory, an IPv6
// address without brackets is unambiguous.
func connectTarget(s string) (socksaddr.Address, error) {
	i := strings.LastIndexByte(s, ':')
	switch {
	case strings.ContainsAny(s, "@"):
		return socksaddr.Address{}, badRequest("CONNECT requires host:port, without a user")
	case i < 0 || i == len(s)-1 || strings.ContainsAny(s, "/?#\\"):
		return socksaddr.Address{}, badRequest("CONNECT requires host:port")
	}
	host, port := s[:i], s[i+1:]
	if strings.Contains(host, ":") && host[0] != '[' && !isIPv6(host) {
		return socksaddr.Address{}, badRequest(wantBrackets)
	}
	return newTarget(host, port)
}

// absoluteTarget splits http://user@host:port/path. A proxy needs only host and port:
// the path is forwarded unchanged, and the user is omitted.
func absoluteTarget(s, hostField string) (to socksaddr.Address, uri string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		return to, "", badRequest("its target is not http://host/path")
	case strings.EqualFold(scheme, "https"):
		return to, "", badRequest("https:// URLs need CONNECT, so that the proxy cannot read the traffic")
	case !strings.EqualFold(scheme, "http"):
		return to, "", badRequest("only http:// URLs are forwarded; everything else needs CONNECT")
	case strings.Contains(rest, "#"):
		return to, "", badRequest("its target has a fragment")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, uri = rest[:i], rest[i:]
	}
	if uri == "" || uri[0] == '?' {
		uri = "/" + uri
	}
	if strings.Contains(authority, "\\") { // browsers treat a backslash as a slash
		return to, "", badRequest("its host contains a backslash")
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	host, port, err := splitAuthority(authority, hostField)
	if err != nil {
		return to, "", err
	}
	to, err = newTarget(host, port)
	return to, escaped(uri), err
}

// splitAuthority splits s into host and port; the port may be missing. An IPv6 address
// without brackets is accepted if it is unambiguous, or if the Host field resolves the
// ambiguity.
func splitAuthority(s, hostField string) (host, port string, err error) {
	i := strings.LastIndexByte(s, ':')
	bracket := strings.LastIndexByte(s, ']')
	switch {
	case bracket > i || i < 0:
		return s, "", nil
	case strings.IndexByte(s, ':') == i || s[0] == '[':
		return s[:i], s[i+1:], nil
	}
	host, port = s[:i], s[i+1:]
	whole, part := isIPv6(s), isIPv6(host) && isPort(port)
	switch {
	case whole && part && hostField == "["+host+"]:"+port, part && !whole:
		return host, port, nil
	case whole && part && hostField == "["+s+"]", whole && !part:
		return s, "", nil
	}
	return "", "", badRequest(wantBrackets)
}

// newTarget checks host and port. An empty port means the default port for http://.
func newTarget(host, port string) (socksaddr.Address, error) {
	if port == "" {
		port = strconv.Itoa(defaultPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return socksaddr.Address{}, badRequest(wantPort)
	}
	if strings.Contains(host, "%") { // programs disagree on whether to decode it
		return socksaddr.Address{}, badRequest("its host contains a percent sign")
	}
	a, err := socksaddr.New(host, uint16(n))
	switch {
	case err != nil:
		return socksaddr.Address{}, badRequest(err.Error())
	case !isHostField(a.String()):
		return socksaddr.Address{}, badRequest("host name " + strconv.QuoteToASCII(a.Host) + " is not ASCII")
	}
	return a, nil
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6() && ip.Zone() == ""
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
