// Package policy decides which targets an exit may reach.
//
// A [List] holds the targets that a server allows or denies. Its text consists of
// comma-separated entries. Each is one of
//
//	10.1.0.0/16       a network, in CIDR notation
//	192.0.2.7         an address, IPv4 or IPv6
//	db.example        only this name
//	*.example         every name below it, at any depth, but not itself
//	self, loopback    the exit's own machine: 127.0.0.0/8, ::1 and every address of
//	                  its interfaces
//	private           the ranges of RFC 1918, RFC 6598 and RFC 4193
//	all               every target
//
// Each may be followed by a port: 192.0.2.7:22, [2001:db8::7]:22, [2001:db8::/32]:22,
// *.example:443, private:5432.
//
// An [Exit] combines two lists, and the client's [Rules] if it has any, with the default
// denials: addresses meant only for the exit's own machine and network, such as cloud
// metadata services. It judges a name before it is resolved and every address before it
// is dialed, so that a name cannot lead to a forbidden address.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/keytext"
)

// List is a parsed list. A nil List is empty and matches nothing. It is immutable once
// in use, so it is safe for concurrent use.
type List struct {
	Name string // the list's name in messages, or empty

	entries []entry
}

// entry is one rule. Exactly one of prefixes, name and all is set.
type entry struct {
	own      bool           // also matches the addresses of this machine
	text     string         // as written, for messages
	prefixes []netip.Prefix // addresses
	name     string         // lower case, without a final dot
	below    bool           // matches names below name, but not name itself
	all      bool           // every target
	port     uint16         // 0 means every port
}

// words maps network names to their prefixes.
var words = map[string][]netip.Prefix{
	wordSelf:     prefixes("127.0.0.0/8", "::1/128"),
	wordLoopback: prefixes("127.0.0.0/8", "::1/128"),
	"private":    prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
}

// Words that include the addresses of this machine's interfaces, because services that
// listen on those usually listen on loopback too.
const (
	wordSelf     = "self"
	wordLoopback = "loopback"
)

func prefixes(texts ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		ps[i] = netip.MustParsePrefix(t)
	}
	return ps
}

// Parse parses a list. Spaces around entries are ignored; an empty text is an empty
// list. The error names the entry and the expected form.
func Parse(list string) (*List, error) {
	l := &List{}
	if strings.TrimSpace(list) == "" {
		return l, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		e, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", keytext.Quote(text), err)
		}
		e.text = text
		l.entries = append(l.entries, e)
	}
	return l, nil
}

var errEntry = errors.New("want a CIDR, an address, a name, *.name, self, loopback, private or all, each with an optional :port")

func parseEntry(text string) (entry, error) {
	if text == "" {
		return entry{}, errors.New("is empty: there is an extra comma")
	}
	if strings.Contains(text, "://") {
		return entry{}, errors.New("is a URL: want just the host")
	}
	host, port, err := splitPort(text)
	if err != nil {
		return entry{}, err
	}
	e := entry{port: port}
	switch {
	case strings.Contains(host, "/"):
		p, err := parsePrefix(host)
		if err != nil {
			return entry{}, err
		}
		e.prefixes = []netip.Prefix{p}
		return e, nil
	case strings.EqualFold(host, "all"):
		e.all = true
		return e, nil
	}
	if word := strings.ToLower(host); words[word] != nil {
		e.prefixes, e.own = words[word], word == wordSelf || word == wordLoopback
		return e, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return entry{}, errors.New("addresses here cannot have a zone: remove the % sign and what follows")
		}
		a = a.Unmap()
		e.prefixes = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
		return e, nil
	}
	e.name, e.below = strings.CutPrefix(host, "*.")
	e.name = canonicalName(e.name)
	return e, checkName(e.name)
}

// splitPort splits the port off an entry; the port is 0 if there is none.
func splitPort(text string) (host string, port uint16, err error) {
	digits := ""
	switch {
	case text[0] == '[':
		inner, rest, ok := strings.Cut(text[1:], "]")
		if !ok {
			return "", 0, errors.New("the bracket is not closed")
		}
		if !strings.Contains(inner, ":") {
			return "", 0, errors.New("brackets are for IPv6 addresses")
		}
		host, digits = inner, rest
		if digits == "" {
			return host, 0, nil
		}
		if digits[0] != ':' {
			return "", 0, errors.New("want a colon and the port after the bracket")
		}
		digits = digits[1:]
	case strings.Count(text, ":") == 1:
		host, digits, _ = strings.Cut(text, ":")
	default: // no port, or IPv6 without brackets
		return text, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits[0] == '0' {
		return "", 0, fmt.Errorf("port %s: want 1 to 65535", keytext.Quote(digits))
	}
	return host, uint16(n), nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, errors.New("want a network in CIDR notation, as in 10.0.0.0/8 or 2001:db8::/32")
	}
	if a := p.Addr(); a.Is4In6() { // it would never match, because addresses are unmapped before they are compared
		if p.Bits() < 96 {
			return p, errors.New("write an IPv4 network in IPv4 form, as in 10.0.0.0/8")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return p, fmt.Errorf("has bits set after its prefix: want %s, or %s for that one address", m, p.Addr())
	}
	return p, nil
}

func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func checkName(name string) error {
	if name == "" || len(name) > 253 {
		return errEntry
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errEntry
		}
		for _, r := range label {
			switch {
			case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_':
			case r > 0x7f:
				return errors.New("write the name in its ASCII form (xn--…)")
			default:
				return errEntry
			}
		}
	}
	// A mistyped address must not be accepted as a name.
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return errors.New("is neither an address nor a name: want four numbers from 0 to 255, as in 192.0.2.7")
	}
	return nil
}
