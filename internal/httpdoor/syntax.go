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

// isHostField says whether s can be in Host: what RFC 3986 section 3.2.2 allows.
func isHostField(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !http1.IsAlphanumeric(r) && !strings.ContainsRune("-._~%!$&'()*+,;=:[]", r)
	})
}

// beforeBody are fields that a receiver needs before the body, so that they are no
// trailers (RFC 9110 section 6.5.1).
var beforeBody = []string{
	"authorization", "cache-control", "content-encoding", "content-range", "content-type", "cookie", "date",
	"expect", "expires", "host", "location", "max-forwards", "pragma", "range", "retry-after", "set-cookie", "vary",
	"warning", "www-authenticate",
}

// goodTrailer says whether a field of that name may be passed on behind a body.
func goodTrailer(name string) bool {
	lower := strings.ToLower(name)
	return http1.IsToken(name) && !slices.Contains(beforeBody, lower) && !strings.HasPrefix(lower, "if-") && !dropped(nil)(name)
}

// cutShort returns err of a read in the middle of something: an end there is an
// unexpected one.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformed(format string, a ...any) error {
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf(format, a...)}
}
