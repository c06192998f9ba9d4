package eagersocks

import (
	"net/http"
	"slices"
	"strings"
)

// isToken says whether s is a token (RFC 9110 section 5.6.2): a method, or the name
// of a field.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isFieldValue says whether s can be a field's value (RFC 9110 section 5.5).
func isFieldValue(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// isHostField says whether s can be in Host: what RFC 3986 section 3.2.2 allows.
func isHostField(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("-._~%!$&'()*+,;=:[]", r)
	})
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// tokens is the elements of a field that is a list, in lower case.
func tokens(values []string) (all []string) {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			all = append(all, strings.ToLower(strings.Trim(t, " \t")))
		}
	}
	return all
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
	return isToken(name) && !slices.Contains(beforeBody, lower) && !strings.HasPrefix(lower, "if-") && !dropped(nil)(name)
}

// goodTrailers are the trailer fields that may be passed on.
func goodTrailers(trailers http.Header) http.Header {
	good := http.Header{}
	for name, values := range trailers {
		for _, v := range values {
			if goodTrailer(name) && isFieldValue(v) {
				good[name] = append(good[name], v)
			}
		}
	}
	return good
}
