package httpdoor

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tunnels/internal/http1"
)

// field is a header field, with its name as received.
type field struct{ name, value string }

// requestHead is a request's head, parsed line by line. It accepts everything RFC 9112
// allows, except for heads that two parsers could read differently.
type requestHead struct {
	method, target, version string
	fields                  []field
}

// line parses the next line.
func (h *requestHead) line(line []byte) error {
	s, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return badRequest("a line of the head does not end in CR LF")
	}
	if h.method == "" {
		return h.first(s)
	}
	if s[0] == ' ' || s[0] == '\t' {
		return badRequest("a header field continues on a second line")
	}
	name, value, ok := strings.Cut(s, ":")
	if !ok || !http1.IsToken(name) {
		return badRequest("a line of the head is not a header field")
	}
	value = strings.Trim(value, " \t")
	if !http1.IsFieldValue(value) {
		return badRequest("a header field contains control characters")
	}
	if len(h.fields) == requestFieldsMax {
		return &requestError{http.StatusRequestHeaderFieldsTooLarge, "it has too many header fields"}
	}
	h.fields = append(h.fields, field{name, value})
	return nil
}

// first parses the request line.
func (h *requestHead) first(s string) error {
	parts := strings.Split(s, " ")
	if len(parts) != 3 || !http1.IsToken(parts[0]) || parts[1] == "" {
		return badRequest("the first line is not METHOD TARGET HTTP/1.1")
	}
	for _, b := range []byte(parts[1]) {
		if b <= ' ' || b == 0x7f {
			return badRequest("the target contains control characters")
		}
	}
	h.method, h.target, h.version = parts[0], parts[1], parts[2]
	switch _, _, ok := http.ParseHTTPVersion(h.version); {
	case !ok:
		return badRequest("the first line does not end in HTTP/1.1")
	case h.version != "HTTP/1.1" && h.version != "HTTP/1.0":
		return &requestError{http.StatusHTTPVersionNotSupported, "only HTTP/1.1 and HTTP/1.0 are supported"}
	}
	return nil
}

// all returns the values of all fields called name.
func (h *requestHead) all(name string) (values []string) {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// get returns the value of the first field called name, or "" if there is none.
func (h *requestHead) get(name string) string {
	if v := h.all(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// has reports whether the field called name, a list of tokens such as Connection,
// contains token.
func (h *requestHead) has(name, token string) bool {
	return slices.Contains(http1.Tokens(h.all(name)), token)
}

func (h *requestHead) modern() bool { return h.version == "HTTP/1.1" }

// framing checks the request's Host and the fields that determine where the request
// ends (RFC 9112 section 6).
func (h *requestHead) framing() error {
	lengths, codings, hosts := h.all("Content-Length"), h.all("Transfer-Encoding"), h.all("Host")
	switch {
	case len(lengths) > 1:
		return badRequest("it has more than one Content-Length")
	case len(lengths) > 0 && strings.Trim(lengths[0], "0123456789") != "" || len(lengths) > 0 && lengths[0] == "":
		return badRequest("its Content-Length is not a number")
	case len(lengths) > 0 && !isLength(lengths[0]):
		return badRequest("its Content-Length is too large")
	case len(lengths) > 0 && len(codings) > 0:
		return badRequest("it has both a Content-Length and a Transfer-Encoding")
	case len(codings) > 1:
		return badRequest("it has more than one Transfer-Encoding")
	case len(codings) > 0 && !h.modern():
		return badRequest("HTTP/1.0 has no Transfer-Encoding")
	case len(codings) > 0 && !strings.EqualFold(codings[0], "chunked"):
		return &requestError{http.StatusNotImplemented, "it has a Transfer-Encoding other than chunked"}
	case h.method == http.MethodConnect && (len(codings) > 0 || len(lengths) > 0 && lengths[0] != "0"):
		return badRequest("CONNECT has no body")
	case slices.ContainsFunc(http1.Tokens(h.all("Trailer")), isFraming):
		return badRequest("its Trailer lists a field that determines where it ends")
	case len(hosts) > 1:
		return badRequest("it has more than one Host")
	case len(hosts) == 0 && h.modern() && h.method != http.MethodConnect:
		return badRequest("it has no Host")
	case len(hosts) > 0 && !isHostField(hosts[0]):
		return badRequest("its Host is not a valid host")
	}
	return nil
}

// isLength reports whether digits fit an int64.
func isLength(digits string) bool {
	_, err := strconv.ParseInt(digits, 10, 64)
	return err == nil
}

func isFraming(name string) bool {
	return name == "content-length" || name == "transfer-encoding" || name == "trailer"
}
