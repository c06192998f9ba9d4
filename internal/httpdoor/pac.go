package httpdoor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tunnels/internal/keytext"
)

// PACList is a list of hosts for the PAC file: names, names below a domain, and
// networks. The zero PACList is empty. A PACList is immutable.
type PACList struct {
	names []string       // lower case; only the hosts themselves
	below []string       // lower case; all hosts below them
	nets  []netip.Prefix // hosts written as addresses; IPv4 unmapped
}

// ParsePACList parses a list of comma-separated entries, each one of
//
//	example.com       this name only
//	**.example.com     every name below it, at any depth; also written .example.com
//	10.0.0.0/8        a network, for hosts written as addresses
//	2001:db8::7       an address
//
// Spaces around entries are ignored, and an empty text yields an empty list. The error
// quotes the entry and says what is expected.
func ParsePACList(list string) (PACList, error) {
	var l PACList
	if strings.TrimSpace(list) == "" {
		return l, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if err := l.add(text); err != nil {
			return PACList{}, fmt.Errorf("entry %s: %w", keytext.Quote(text), err)
		}
	}
	return l, nil
}

func (l PACList) empty() bool { return len(l.names)+len(l.below)+len(l.nets) == 0 }

func (l *PACList) add(text string) error {
	switch a, err := netip.ParseAddr(text); {
	case text == "":
		return errors.New("is empty: there is an extra comma")
	case strings.Contains(text, "://"):
		return errors.New("is a URL: want just the host")
	case err == nil && a.Zone() != "":
		return errors.New("addresses here cannot have a zone: remove the % sign and what follows")
	case err == nil:
		a = a.Unmap()
		l.nets = append(l.nets, netip.PrefixFrom(a, a.BitLen()))
		return nil
	case strings.Contains(text, "/"):
		p, err := pacNet(text)
		l.nets = append(l.nets, p)
		return err
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "*"), ".")
	if err := pacName(bare); err != nil {
		return err
	}
	switch name {
	case bare:
		l.names = append(l.names, bare)
	case "." + bare, "*." + bare:
		l.below = append(l.below, bare)
	default:
		return errPACEntry
	}
	return nil
}

var errPACEntry = errors.New("want a name, *.name, an address, or a network in CIDR notation; without a port")

func pacNet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, errors.New("want a network in CIDR notation, as in 10.0.0.0/8 or 2001:db8::/32")
	}
	if a := p.Addr(); a.Is4In6() {
		return p, errors.New("write an IPv4 network in IPv4 form, as in 10.0.0.0/8")
	}
	if m := p.Masked(); m != p {
		return p, fmt.Errorf("has bits set beyond its prefix: want %s, or %s for that one address", m, p.Addr())
	}
	return p, nil
}

// pacName returns nil if name is valid, or else an error that describes the problem.
func pacName(name string) error {
	if name == "" || len(name) > maxHostName {
		return errPACEntry
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errPACEntry
		}
		for _, r := range label {
			switch {
			case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_':
			case r > 0x7f:
				return errors.New("write the name in its ASCII form (xn--...)")
			default:
				return errPACEntry
			}
		}
	}
	// A mistyped address must not be accepted as a name.
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return errors.New("is neither an address nor a name: want four numbers from 0 to 255, as in 192.0.2.7")
	}
	return nil
}

// maxHostName is the maximum length of a DNS name.
const maxHostName = 253

// keys returns the names as keys for the script's lookup. No key can collide with a
// property that every JavaScript object has.
func (l PACList) keys() []string {
	keys := make([]string, 0, len(l.names)+len(l.below))
	for _, n := range l.names {
		keys = append(keys, "="+n)
	}
	for _, n := range l.below {
		keys = append(keys, "."+n)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// bits returns the networks in the form used by the script for comparison: 4 or 6, then
// the prefix in binary.
func (l PACList) bits() []string {
	all := make([]string, 0, len(l.nets))
	for _, p := range l.nets {
		b := "6"
		if p.Addr().Is4() {
			b = "4"
		}
		for _, octet := range p.Addr().AsSlice() {
			s := strconv.FormatUint(uint64(octet), 2)
			b += strings.Repeat("0", 8-len(s)) + s
		}
		all = append(all, b[:1+p.Bits()])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
