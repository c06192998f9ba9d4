package datagram

import (
	"encoding/binary"
	"fmt"
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

// headerSize is how many bytes appendHeader appends.
func (t Target) headerSize() int {
	switch {
	case t.Name != "":
		return headSize + 1 + len(t.Name) + 2
	case t.IP.Is4():
		return headSize + 4 + 2
	}
	return headSize + 16 + 2
}

// appendHeader appends the header of a datagram that is not a fragment.
func (t Target) appendHeader(b []byte) []byte {
	switch {
	case t.Name != "":
		b = append(b, 0, 0, 0, atypName, byte(len(t.Name)))
		b = append(b, t.Name...)
	case t.IP.Is4():
		ip := t.IP.As4()
		b = append(b, 0, 0, 0, atypIPv4)
		b = append(b, ip[:]...)
	default:
		ip := t.IP.As16()
		b = append(b, 0, 0, 0, atypIPv6)
		b = append(b, ip[:]...)
	}
	return binary.BigEndian.AppendUint16(b, t.Port)
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
	case b[3] == atypName && d.target.Name == "":
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
	size := 0
	switch b[3] {
	case atypIPv4:
		size = 4
	case atypIPv6:
		size = 16
	case atypName:
		size = 1 + int(b[headSize])
	default:
		return datagram{}, malformed("address type 0x%02x is not supported", b[3])
	}
	end := headSize + size + 2
	if len(b) < end {
		return datagram{}, malformed("datagram of %d bytes, its header has %d", len(b), end)
	}
	d := datagram{fragment: b[2], data: b[end:]}
	d.target.Port = binary.BigEndian.Uint16(b[end-2:])
	if d.target.Port == 0 {
		return datagram{}, malformed("port is 0")
	}
	return d, d.target.setHost(b[3], b[headSize:end-2])
}

// setHost sets what the bytes of ADDR say.
func (t *Target) setHost(atyp byte, addr []byte) error {
	if atyp != atypName {
		t.IP, _ = netip.AddrFromSlice(addr) // of 4 or 16 bytes
		return nil
	}
	name := string(addr[1:])
	bare := name
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		bare = name[1 : len(name)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
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
