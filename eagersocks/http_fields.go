package eagersocks

import (
	"net/http"
	"slices"
	"strings"
)

// hopByHop are the fields that concern one connection and not the message (RFC 9110
// section 7.6.1), and those that say how the message is framed, which is said anew.
// Fields that Connection names belong to them, and all that begin with Proxy-.
var hopByHop = []string{
	"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "http2-settings",
}

// dropped says which fields are not passed on; connection is the values of
// Connection.
func dropped(connection []string) func(name string) bool {
	named := tokens(connection)
	return func(name string) bool {
		name = strings.ToLower(name)
		return slices.Contains(hopByHop, name) || strings.HasPrefix(name, "proxy-") || slices.Contains(named, name)
	}
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendTrailers appends the end of a chunked body: the last chunk, the trailer
// fields and an empty line.
func appendTrailers(b []byte, trailers http.Header) []byte {
	b = append(b, "0\r\n"...)
	trailers = goodTrailers(trailers)
	for _, name := range sortedNames(trailers) {
		for _, v := range trailers[name] {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

// appendAnnounced appends the field that says which trailer fields are to come.
func appendAnnounced(b []byte, trailers http.Header) []byte {
	names := slices.DeleteFunc(sortedNames(trailers), func(name string) bool { return !goodTrailer(name) })
	if len(names) == 0 {
		return b
	}
	return appendField(b, "Trailer", strings.Join(names, ", "))
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
