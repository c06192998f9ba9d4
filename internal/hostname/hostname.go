// Package hostname defines which names are valid for a host, in requests and datagrams.
package hostname

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tunnels/internal/code"
)

// Max is the maximum length of a name in bytes: on the wire its length has one byte.
const Max = 255

// Check reports what is wrong with a name that is not an IP address: it must be 1 to
// 255 bytes of UTF-8 without white space, control characters, colons and brackets. The
// error is a *code.Error with code.AddressUnsupported.
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
