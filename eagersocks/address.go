package eagersocks

import (
	"fmt"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// Address is a destination: an IP address, or a name, which is kept as a name until the
// exit resolves it. It is comparable; two spellings of one IP address are equal after
// NewAddress.
type Address = socksaddr.Address

// NewAddress checks host and returns it in canonical form: a name that is an IP
// address, even in brackets, becomes that address. It rejects, with
// code.AddressUnsupported, port 0 and anything that cannot be a host: an empty name,
// more than 255 bytes, white space, control characters, invalid UTF-8, colons and
// brackets outside an IP address, and IPv6 zones.
func NewAddress(host string, port uint16) (Address, error) { return socksaddr.New(host, port) }

// ParseAddress parses host:port with a numeric port. An IPv6 address must be in
// brackets.
func ParseAddress(s string) (Address, error) { return socksaddr.Parse(s) }

// unsupportedType returns the error for an undefined address type.
func unsupportedType(atyp byte) *code.Error {
	return &code.Error{Code: code.AddressUnsupported, Text: fmt.Sprintf("address type 0x%02x is not supported", atyp)}
}
