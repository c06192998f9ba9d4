package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"tunnels/internal/keytext"
)

// System is the entry for the system's own configuration, and the default.
const System = "system"

// maxUpstreams limits the length of a list, because one question may be sent to every
// entry.
const maxUpstreams = 8

const (
	dnsPort   = 53
	httpsPort = 443
)

// Upstream is one entry of a list: an upstream and how to query it.
type Upstream struct {
	scheme string         // "system", "udp", "tcp" or "https"
	addr   netip.AddrPort // for udp and tcp
	url    string         // for https
	host   string         // for https, host:port
}

// String returns the entry in full form, but omits a URL's path, which may contain an
// account's key.
func (u Upstream) String() string {
	switch u.scheme {
	case System:
		return System
	case "https":
		return "https://" + u.host
	}
	return u.scheme + "://" + u.addr.String()
}

// open returns the upstream for the entry; list is the list's name in messages.
func (u Upstream) open(list string) upstream {
	switch u.scheme {
	case System:
		return newSystem(list)
	case "https":
		return newHTTPS(u)
	}
	return &plain{Upstream: u}
}

// Parse parses a comma-separated list of upstreams. They are queried in order, moving
// on to the next when one fails or does not answer:
//
//	system                        the system's configuration: its servers and hosts file
//	1.1.1.1, 2606:4700:4700::1111 a server; UDP, and TCP for long answers
//	1.1.1.1:53, [2001:db8::1]:53  the same with a port, 53 by default
//	udp://1.1.1.1, tcp://9.9.9.9  the same; tcp means only TCP
//	https://dns.example/dns-query DNS over HTTPS (RFC 8484); a name is resolved by the system
//
// An empty list is "system". The error names the entry and the expected form; it shows
// only the scheme and host of a URL.
func Parse(list string) ([]Upstream, error) {
	if strings.TrimSpace(list) == "" {
		list = System
	}
	var ups []Upstream
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if len(ups) == maxUpstreams {
			return nil, fmt.Errorf("want at most %d entries", maxUpstreams)
		}
		u, err := parseUpstream(text)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", shown(text), err)
		}
		ups = append(ups, u)
	}
	return ups, nil
}

// shown returns an entry with all secrets removed.
func shown(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || strings.EqualFold(scheme, "udp") || strings.EqualFold(scheme, "tcp") {
		if keytext.Looks(text) {
			return keytext.Show(text)
		}
		return strconv.QuoteToGraphic(keytext.Show(text))
	}
	host := rest
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if keytext.Looks(host) {
		return keytext.Quote(host)
	}
	if host != rest {
		host += "…"
	}
	return strconv.QuoteToGraphic(scheme + "://" + host)
}

var errUpstream = errors.New("want system, an address with or without :port, udp://ADDRESS, tcp://ADDRESS or https://HOST/PATH")

func parseUpstream(text string) (Upstream, error) {
	if text == "" {
		return Upstream{}, errors.New("is empty: there is an extra comma")
	}
	if strings.EqualFold(text, System) {
		return Upstream{scheme: System}, nil
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "udp", text
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "udp", "tcp":
		addr, err := parseServer(rest)
		return Upstream{scheme: scheme, addr: addr}, err
	case "https":
		return parseURL(text)
	case "http":
		return Upstream{}, errors.New("anyone on the path could change its answers: want https://")
	}
	return Upstream{}, errUpstream
}

// parseServer parses address or address:port.
func parseServer(text string) (netip.AddrPort, error) {
	bare := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		bare = text[1 : len(text)-1]
	}
	var ap netip.AddrPort
	if a, err := netip.ParseAddr(bare); err == nil {
		ap = netip.AddrPortFrom(a, dnsPort)
	} else if ap, err = netip.ParseAddrPort(text); err != nil {
		if checkName(text) == "" {
			return ap, errors.New("want an address: a name would have to be resolved first")
		}
		return ap, errUpstream
	}
	switch {
	case ap.Addr().Zone() != "":
		return ap, errors.New("addresses here cannot have a zone: remove the % sign and what follows")
	case ap.Addr().IsUnspecified() || ap.Addr().IsMulticast():
		return ap, errors.New("is not the address of a server")
	case ap.Port() == 0:
		return ap, errors.New("port 0: want 1 to 65535")
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// parseURL parses the URL of a DNS over HTTPS server.
func parseURL(text string) (Upstream, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Upstream{}, errors.New("is not a URL: want https://HOST/PATH")
	}
	switch {
	case u.User != nil:
		return Upstream{}, errors.New("has a user or password, which is not supported")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Upstream{}, errors.New("has something after its path: want https://HOST/PATH")
	case u.Path == "" || u.Path == "/":
		return Upstream{}, errors.New("has no path: most servers want /dns-query")
	}
	port := uint64(httpsPort)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return Upstream{}, fmt.Errorf("port %s: want 1 to 65535", keytext.Quote(p))
		}
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return Upstream{}, errors.New("addresses here cannot have a zone: remove the % sign and what follows")
		}
		host = netip.AddrPortFrom(a, uint16(port)).String()
	} else if checkName(host) != "" {
		return Upstream{}, errors.New("its host is neither an address nor a name")
	} else {
		host += ":" + strconv.FormatUint(port, 10)
	}
	return Upstream{scheme: "https", url: u.String(), host: host}, nil
}
