package httpdoor

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tunnels/internal/code"
	"tunnels/internal/http1"
)

// isHostField reports whether s contains only characters that are allowed in Host by
// RFC 3986 section 3.2.2.
func isHostField(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !http1.IsAlphanumeric(r) && !strings.ContainsRune("-._~%!$&'()*+,;=:[]", r)
	})
}

// beforeBody lists the fields that a receiver needs before the body, so they are not
// allowed as trailers (RFC 9110 section 6.5.1).
var beforeBody = []string{
	"authorization", "cache-control", "content-encoding", "content-range", "content-type", "cookie", "date",
	"expect", "expires", "host", "location", "max-forwards", "pragma", "range", "retry-after", "set-cookie", "vary",
	"warning", "www-authenticate",
}

// goodTrailer reports whether a field called name may be forwarded as a trailer.
func goodTrailer(name string) bool {
	lower := strings.ToLower(name)
	return http1.IsToken(name) && !slices.Contains(beforeBody, lower) && !strings.HasPrefix(lower, "if-") && !dropped(nil)(name)
}

// cutShort returns err, the error from a read that failed midway, but with io.EOF
// replaced by io.ErrUnexpectedEOF.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformed(format string, a ...any) error {
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf(format, a...)}
}
