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
	recordMax = 65535 // a record's length has two bytes
)

// Target is the destination or source of a datagram. It is comparable.
type Target struct {
	Name string     // resolved at the exit; empty if IP is set
	IP   netip.Addr // invalid if Name is set
	Port uint16
}

// targetOf returns the target with address a.
func targetOf(a netip.AddrPort) Target { return Target{IP: a.Addr(), Port: a.Port()} }

// String returns host:port, with brackets around an IPv6 address. A name is returned as
// the application wrote it; quote it before printing.
func (t Target) String() string {
	host := t.Name
	if host == "" {
		host = t.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.Port)))
}

// headerSize returns the number of bytes appendHeader appends.
func (t Target) headerSize() int { return headSize - 1 + socksaddr.EncodedSize(t.Name, t.IP) }

// appendHeader appends the header of an unfragmented datagram.
func (t Target) appendHeader(b []byte) []byte {
	return socksaddr.Append(append(b, 0, 0, 0), t.Name, t.IP, t.Port)
}

// datagram is a parsed datagram.
type datagram struct {
	target   Target
	fragment byte   // the datagram is dropped unless this is 0, as RFC 1928 section 7 requires
	data     []byte // a slice of the parsed bytes
}

// parseRecord parses the content of a record, one datagram with a header as written by
// appendHeader. Its error has code.Protocol.
func parseRecord(b []byte) (datagram, error) {
	d, err := parse(b)
	switch {
	case err != nil:
		return datagram{}, err
	case b[0] != 0 || b[1] != 0:
		return datagram{}, malformed("reserved bytes are 0x%02x%02x, want 0x0000", b[0], b[1])
	case b[3] == socksaddr.Name && d.target.Name == "":
		return datagram{}, malformed("address %v is sent as a name", d.target.IP)
	}
	return d, nil
}

// parse parses a datagram from an application, less strictly: it ignores the reserved
// bytes and accepts an address sent as a name.
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
		return datagram{}, malformed("datagram of %d bytes is shorter than its header of %d", len(b), end)
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

// setName sets the host from a name, which may be an IP address in text form.
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
