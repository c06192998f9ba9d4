// Package hostname says which names may stand for a host, in a request and in a
// datagram alike.
package hostname

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tunnels/internal/code"
)

// Max is how many bytes a name can have: on the wire its length is one byte.
const Max = 255

// Check says what is wrong with a name that is no IP address: it must be 1 to
// 255 bytes of UTF-8 without white space, control characters, colons and
// brackets. The error is a *code.Error with code.AddressUnsupported.
func Check(name string) error {
	switch {
	case name == "":
		return unsupported("host is empty")
	case len(name) > Max:
		return unsupported("host name has " + strconv.Itoa(len(name)) + " bytes, 255 are possible")
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
