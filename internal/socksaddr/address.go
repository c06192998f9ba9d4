package socksaddr

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
	"tunnels/internal/hostname"
)

// Address is a destination: an IP address, or a name, which is kept as a name until the
// exit resolves it. It is comparable; two spellings of one IP address are equal after
// New.
type Address struct {
	Host string // a name as given, or an IP address as formatted by netip.Addr
	Port uint16
}

// New checks host and returns it in canonical form: a name that is an IP address, even
// in brackets, becomes that address. It rejects, with code.AddressUnsupported, port 0
// and anything that cannot be a host: an empty name, more than 255 bytes, white space,
// control characters, invalid UTF-8, colons and brackets outside an IP address, and
// IPv6 zones.
func New(host string, port uint16) (Address, error) {
	a, err := NewAnyPort(host, port)
	if err == nil && port == 0 {
		return Address{}, unsupported("cannot connect to port 0 of " + strconv.QuoteToASCII(host))
	}
	return a, err
}

// NewAnyPort is like New but allows port 0.
func NewAnyPort(host string, port uint16) (Address, error) {
	ip, ok := ParseIP(host)
	if !ok {
		return Address{host, port}, hostname.Check(host)
	}
	if ip.Zone() != "" {
		return Address{}, unsupported("address " + strconv.QuoteToASCII(host) + " has a zone, which has no meaning on another machine")
	}
	return Address{ip.String(), port}, nil
}

// Parse parses host:port with a numeric port. An IPv6 address must be in brackets.
func Parse(s string) (Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, unsupported(strconv.QuoteToASCII(s) + " is not host:port")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, unsupported("port " + strconv.QuoteToASCII(port) + " is not a number from 1 to 65535")
	}
	return New(host, uint16(n))
}

// ParseIP returns the IP address spelled by host, with or without brackets, and reports
// whether host is one. The address may have a zone.
func ParseIP(host string) (netip.Addr, bool) {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// String returns host:port, with brackets around an IPv6 address.
func (a Address) String() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// IP returns the host as an IP address, and reports whether it is one rather than a
// name.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip, err == nil
}

func unsupported(text string) error {
	return &code.Error{Code: code.AddressUnsupported, Text: text}
}
