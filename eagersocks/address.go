package eagersocks

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
	"tunnels/internal/hostname"
)

// The address types of RFC 1928 section 5.
const (
	atypIPv4 = 1
	atypName = 3
	atypIPv6 = 4
)

const maxName = hostname.Max

// Address is where bytes go: a name, which stays one until the exit resolves
// it, or an IP address. It is comparable; two spellings of one IP address are
// equal after NewAddress.
type Address struct {
	Host string // a name as it was given, or an IP address as netip.Addr prints it
	Port uint16
}

// NewAddress checks host and spells it in one way: a name that is an IP address,
// also in brackets, becomes that address. It refuses, with
// code.AddressUnsupported, a port 0 and what cannot be a host: nothing, more
// than 255 bytes, white space, control characters, bytes that are no UTF-8,
// colons and brackets outside of an IP address, and IPv6 zones.
func NewAddress(host string, port uint16) (Address, error) {
	a, err := newAddress(host, port)
	if err == nil && port == 0 {
		return Address{}, unsupported("port 0 of " + strconv.QuoteToASCII(host) + " cannot be connected to")
	}
	return a, err
}

// newAddress is NewAddress that lets port 0 pass.
func newAddress(host string, port uint16) (Address, error) {
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(bare)
	if err != nil {
		return Address{host, port}, hostname.Check(host)
	}
	if ip.Zone() != "" {
		return Address{}, unsupported("address " + strconv.QuoteToASCII(host) + " has a zone, which means nothing to another machine")
	}
	return Address{ip.String(), port}, nil
}

// ParseAddress reads host:port with a numeric port; IPv6 addresses are in brackets.
func ParseAddress(s string) (Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, unsupported(strconv.QuoteToASCII(s) + " is not host:port")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, unsupported("port " + strconv.QuoteToASCII(port) + " is not a number from 1 to 65535")
	}
	return NewAddress(host, uint16(n))
}

// String is host:port, with brackets around an IPv6 address.
func (a Address) String() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// IP is the host if it is an IP address and not a name.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip, err == nil
}

// appendTo appends ATYP, ADDR and PORT. The address was checked before.
func (a Address) appendTo(b []byte) []byte {
	if ip, ok := a.IP(); !ok {
		b = append(b, atypName, byte(len(a.Host)))
		b = append(b, a.Host...)
	} else if ip.Is4() {
		b = append(b, atypIPv4)
		b = append(b, ip.AsSlice()...)
	} else {
		b = append(b, atypIPv6)
		b = append(b, ip.AsSlice()...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port)
}

// addressSize is how many bytes ADDR takes; first is its first byte.
func addressSize(atyp, first byte) (int, bool) {
	switch atyp {
	case atypIPv4:
		return 4, true
	case atypIPv6:
		return 16, true
	case atypName:
		return 1 + int(first), true
	}
	return 0, false
}

// parseAddress reads ADDR and PORT, which are all of b.
func parseAddress(atyp byte, b []byte) (Address, error) {
	addr, port := b[:len(b)-2], binary.BigEndian.Uint16(b[len(b)-2:])
	if atyp != atypName {
		ip, ok := netip.AddrFromSlice(addr)
		if !ok {
			panic("BUG: address of " + strconv.Itoa(len(addr)) + " bytes")
		}
		return Address{ip.String(), port}, nil
	}
	name := string(addr[1:])
	if _, err := netip.ParseAddr(name); err == nil {
		return Address{}, malformed("address %q is written as a name", name)
	}
	return Address{name, port}, hostname.Check(name)
}

func unsupported(text string) error {
	return &code.Error{Code: code.AddressUnsupported, Text: text}
}
