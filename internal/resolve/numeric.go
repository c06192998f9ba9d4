package resolve

import (
	"net/netip"
	"strconv"
	"strings"
)

// numeric returns the error text for a host that ends in a number. If some programs
// accept it as an IPv4 address, as they do 127.1 or 0x7f.1, the text suggests the usual
// form. Such hosts are refused because programs disagree on whether they are addresses
// or names, to which different policies apply.
func numeric(host string) string {
	if a, ok := numericAddr(strings.Split(host, ".")); ok {
		return "is neither an address nor a name: if the IPv4 address is meant, write " + a.String()
	}
	return "is neither an address nor a name"
}

// isNumber reports whether a label is a decimal, octal or hexadecimal number.
func isNumber(label string) bool {
	if hex, ok := cutHex(label); ok {
		return strings.Trim(hex, "0123456789abcdefABCDEF") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

// numericAddr returns the address that inet_aton builds from the parts: each is one
// byte, except that the last fills the remaining bytes.
func numericAddr(parts []string) (netip.Addr, bool) {
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var all uint64
	for i, p := range parts {
		n, ok := number(p)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if !ok || n >= 1<<bits {
			return netip.Addr{}, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}

// number parses one part.
func number(p string) (uint64, bool) {
	base := 10
	if hex, ok := cutHex(p); ok {
		p, base = "0"+hex, 16
	} else if len(p) > 1 && p[0] == '0' {
		base = 8
	}
	n, err := strconv.ParseUint(p, base, 32)
	return n, err == nil
}

func cutHex(label string) (digits string, ok bool) {
	if len(label) < 2 || label[0] != '0' || label[1]|0x20 != 'x' {
		return "", false
	}
	return label[2:], true
}
