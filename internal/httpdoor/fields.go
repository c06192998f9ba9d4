package httpdoor

import (
	"slices"
	"strings"

	"tunnels/internal/http1"
)

// hopByHop lists the fields that apply to a single connection rather than to the
// message (RFC 9110 section 7.6.1), and those that frame the message, which are
// rewritten. Fields named in Connection are treated the same way, and so are a
// request's fields that begin with Proxy-.
var hopByHop = []string{
	"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "http2-settings",
}

// dropped returns a function that reports whether a request's field is to be removed;
// connection holds the values of Connection.
func dropped(connection []string) func(name string) bool {
	named := http1.Tokens(connection)
	return func(name string) bool {
		name = strings.ToLower(name)
		return slices.Contains(hopByHop, name) || strings.HasPrefix(name, "proxy-") || slices.Contains(named, name)
	}
}

// answerHops lists a response's hop-by-hop fields, in addition to those named in
// Connection.
var answerHops = []string{
	"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
	"proxy-connection", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
}

// droppedOfAnswer is like dropped, but for responses.
func droppedOfAnswer(connection []string) func(name string) bool {
	named := http1.Tokens(connection)
	return func(name string) bool {
		name = strings.ToLower(name)
		return name != "" && (slices.Contains(answerHops, name) || slices.Contains(named, name))
	}
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendTrailers appends the end of a chunked body: the last chunk, the trailer
// fields for which keep reports true, and an empty line.
func appendTrailers(b []byte, trailers []http1.Field, keep func(name string) bool) []byte {
	b = append(b, "0\r\n"...)
	for _, f := range trailers {
		if keep(f.Name) {
			b = f.AppendTo(b)
		}
	}
	return append(b, "\r\n"...)
}
