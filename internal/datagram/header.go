package datagram

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"tunnels/internal/code"
	"tunnels/internal/hostname"
	"tunnels/internal/socksaddr"
)

const (
	headSize  = 4     // reserved (2), fragment, address type
	recordMax = 65535 // a record's length is two bytes
)

// Target is where a datagram goes, or came from. It is comparable.
type Target struct {
	Name string     // to be resolved at the exit; empty: IP says
	IP   netip.Addr // invalid if there is a name
	Port uint16
}

// targetOf is the target with that address.
func targetOf(a netip.AddrPort) Target { return Target{IP: a.Addr(), Port: a.Port()} }

// String is host:port, with brackets around an IPv6 address. A name in it is
// as the application wrote it: to be quoted before it is printed.
func (t Target) String() string {
	host := t.Name
	if host == "" {
		host = t.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.Port)))
}

// headerSize returns how many bytes appendHeader appends.
func (t Target) headerSize() int { return headSize - 1 + socksaddr.EncodedSize(t.Name, t.IP) }

// appendHeader appends the header of a datagram that is not a fragment.
func (t Target) appendHeader(b []byte) []byte {
	return socksaddr.Append(append(b, 0, 0, 0), t.Name, t.IP, t.Port)
}

// datagram is one that has been parsed.
type datagram struct {
	target   Target
	fragment byte   // not 0: to be dropped, as RFC 1928 section 7 has it
	data     []byte // part of what was parsed
}

// parseRecord reads what a record holds: one datagram, written as appendHeader
// writes it. The error has code.Protocol.
func parseRecord(b []byte) (datagram, error) {
	d, err := parse(b)
	switch {
	case err != nil:
		return datagram{}, err
	case b[0] != 0 || b[1] != 0:
		return datagram{}, malformed("reserved bytes are 0x%02x%02x, want 0x0000", b[0], b[1])
	case b[3] == socksaddr.Name && d.target.Name == "":
		return datagram{}, malformed("address %v is written as a name", d.target.IP)
	}
	return d, nil
}

// parse reads a datagram as an application may write it: the reserved bytes
// mean nothing, and an address may be written as a name.
func parse(b []byte) (datagram, error) {
	if len(b) < headSize+1 {
		return datagram{}, malformed("datagram of %d bytes has no header", len(b))
	}
	size, ok := socksaddr.Size(b[3], b[headSize])
	if !ok {
		return datagram{}, malformed("address type 0x%02x is not supported", b[3])
	}
	end := headSize + size + 2
	if len(b) < end {
		return datagram{}, malformed("datagram of %d bytes, its header has %d", len(b), end)
	}
	name, ip, port := socksaddr.Split(b[3], b[headSize:end])
	if port == 0 {
		return datagram{}, malformed("port is 0")
	}
	d := datagram{target: Target{IP: ip, Port: port}, fragment: b[2], data: b[end:]}
	var err error
	if b[3] == socksaddr.Name {
		err = d.target.setName(name)
	}
	return d, err
}

// setName sets the host to a name, which may spell an IP address.
func (t *Target) setName(name string) error {
	if ip, ok := socksaddr.ParseIP(name); ok {
		if ip.Zone() != "" {
			return malformed("address %v has a zone", ip)
		}
		t.IP = ip
		return nil
	}
	if err := hostname.Check(name); err != nil {
		return malformed("%v", err)
	}
	t.Name = name
	return nil
}

func malformed(format string, a ...any) error {
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf(format, a...)}
}
