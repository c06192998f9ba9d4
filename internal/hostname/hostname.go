// Package hostname defines which host names are valid in requests and datagrams.
package hostname

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tunnels/internal/code"
)

// Max is the maximum length of a name in bytes, because its length is one byte on the
// wire.
const Max = 255

// Check returns an error if name, which is not an IP address, is invalid: it must be 1
// to 255 bytes of UTF-8 without white space, control characters, colons or brackets.
// The error is a *code.Error with code.AddressUnsupported.
func Check(name string) error {
	switch {
	case name == "":
		return unsupported("host is empty")
	case len(name) > Max:
		return unsupported("host name has " + strconv.Itoa(len(name)) + " bytes, the maximum is 255")
	case !utf8.ValidString(name):
		return unsupported("host name " + strconv.QuoteToASCII(name) + " is not UTF-8")
	}
	for _, r := range name {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(":[]", r) {
			return unsupported("host name " + strconv.QuoteToASCII(name) + " contains " + strconv.QuoteRuneToASCII(r))
		}
	}
	return nil
}

func unsupported(text string) error {
	return &code.Error{Code: code.AddressUnsupported, Text: text}
}
