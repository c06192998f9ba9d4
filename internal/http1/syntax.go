package http1

import (
	"bytes"
	"strings"
)

// IsToken reports whether s is a token (RFC 9110 section 5.6.2): a method, or a field
// name.
func IsToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !IsAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// IsFieldValue reports whether s can be a field value (RFC 9110 section 5.5).
func IsFieldValue(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// IsAlphanumeric reports whether r is an ASCII letter or digit.
func IsAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// Tokens returns the elements of a list-valued field, in lower case.
func Tokens(values []string) (all []string) {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			all = append(all, strings.ToLower(strings.Trim(t, " \t")))
		}
	}
	return all
}

// cleanLine returns a line of a response without its line ending, CR LF or just LF. It
// replaces CR and NUL by spaces, as RFC 9110 section 5.5 requires, because some parsers
// end a line at them.
func cleanLine(line []byte) []byte {
	line = bytes.TrimRight(bytes.TrimSuffix(line, []byte("\n")), "\r")
	for i, b := range line {
		if b == '\r' || b == 0 {
			line[i] = ' '
		}
	}
	return line
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }
