// Package socksaddr encodes and decodes the SOCKS5 address (RFC 1928 section 5) used in
// requests, replies and datagrams:
//
//	ATYP | ADDR | PORT
package socksaddr

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"tunnels/internal/code"
	"tunnels/internal/hostname"
)

// The address types.
const (
	IPv4 = 1
	Name = 3 // ADDR is a length byte followed by that many bytes of name
	IPv6 = 4
)

// MaxSize is the maximum size in bytes of ADDR and PORT.
const MaxSize = 1 + hostname.Max + 2

// Size returns the size of an ADDR that starts with the byte first. It returns false
// for an undefined address type.
func Size(atyp, first byte) (int, bool) {
	switch atyp {
	case IPv4:
		return 4, true
	case IPv6:
		return 16, true
	case Name:
		return 1 + int(first), true
	}
	return 0, false
}

// EncodedSize returns how many bytes Append appends.
func EncodedSize(name string, ip netip.Addr) int {
	switch {
	case name != "":
		return 1 + 1 + len(name) + 2
	case ip.Is4():
		return 1 + 4 + 2
	}
	return 1 + 16 + 2
}

// Append appends ATYP, ADDR and PORT. The address is name, which must be valid, or ip if
// name is empty.
func Append(b []byte, name string, ip netip.Addr, port uint16) []byte {
	switch {
	case name != "":
		b = append(b, Name, byte(len(name)))
		b = append(b, name...)
	case ip.Is4():
		ip4 := ip.As4()
		b = append(b, IPv4)
		b = append(b, ip4[:]...)
	default:
		ip16 := ip.As16()
		b = append(b, IPv6)
		b = append(b, ip16[:]...)
	}
	return binary.BigEndian.AppendUint16(b, port)
}

// Split splits b into ADDR and PORT; b must have Size bytes and two more. It does no
// checks. ip is invalid if atyp is Name.
func Split(atyp byte, b []byte) (name string, ip netip.Addr, port uint16) {
	addr, port := b[:len(b)-2], binary.BigEndian.Uint16(b[len(b)-2:])
	if atyp == Name {
		return string(addr[1:]), netip.Addr{}, port
	}
	ip, ok := netip.AddrFromSlice(addr)
	if !ok {
		panic("BUG: address of " + strconv.Itoa(len(addr)) + " bytes")
	}
	return "", ip, port
}

// AppendTo appends ATYP, ADDR and PORT. The address must be valid.
func (a Address) AppendTo(b []byte) []byte {
	if ip, ok := a.IP(); ok {
		return Append(b, "", ip, a.Port)
	}
	return Append(b, a.Host, netip.Addr{}, a.Port)
}

// Decode decodes all of b as the ADDR and PORT written by AppendTo: an IP address
// written as a name is rejected with code.Protocol.
func Decode(atyp byte, b []byte) (Address, error) {
	name, ip, port := Split(atyp, b)
	if atyp != Name {
		return Address{ip.String(), port}, nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return Address{}, &code.Error{Code: code.Protocol, Text: fmt.Sprintf("address %q is encoded as a name", name)}
	}
	return Address{name, port}, hostname.Check(name)
}
