package httpdoor

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tunnels/internal/http1"
	"tunnels/internal/socksaddr"
)

// request is a request that is in order. Its body is read from the wire it came by.
type request struct {
	requestHead
	in       http1.Body        // the body; nil: there is none
	chunks   *http1.Chunked    // is in, if that is chunked
	noExpect bool              // the target does not know Expect: it is sent without
	local    bool              // for this port itself: a page, not a target
	target   socksaddr.Address // unless local
	uri      string            // unless local or CONNECT: what the target is asked for
}

// readRequest waits for the next request. An error that is a *requestError is for the
// application to know.
func readRequest(w wire) (*request, error) {
	r := &request{}
	if err := w.head(requestHeadMax, true, r.line); err != nil {
		return nil, err
	}
	if err := r.framing(); err != nil {
		return nil, err
	}
	if length, _ := strconv.ParseInt(r.get("Content-Length"), 10, 64); length > 0 {
		r.in = http1.NewFixed(w.Reader, length)
	}
	if r.get("Transfer-Encoding") != "" {
		r.chunks = http1.NewChunked(w.Reader, true)
		r.in = r.chunks
	}
	return r, r.resolve()
}

// resolve finds out what the request is for, by the form of its target (RFC 9112
// section 3.2).
func (r *request) resolve() (err error) {
	switch target := r.requestHead.target; {
	case r.method == http.MethodConnect:
		r.target, err = connectTarget(target)
	case target[0] == '/' || target == "*":
		r.local = true
	default:
		r.target, r.uri, err = absoluteTarget(target, r.get("Host"))
		if r.uri == "/" && r.method == http.MethodOptions && !strings.HasSuffix(target, "/") {
			r.uri = "*" // RFC 9112 section 3.2.4
		}
	}
	return err
}

// escaped is s with the bytes escaped that no target may hold.
func escaped(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e }) {
		return s
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// body is nil if there is none.
func (r *request) body() http1.Body { return r.in }

func (r *request) chunked() bool { return r.chunks != nil }

// waits says that the application sends the body only when it has been told to.
func (r *request) waits() bool {
	return r.body() != nil && r.modern() && !r.noExpect && r.has("Expect", "100-continue")
}

// expectsOnly says that Expect holds nothing else.
func (r *request) expectsOnly() bool {
	all := r.all("Expect")
	return len(all) == 1 && strings.EqualFold(all[0], "100-continue")
}

// closes says that the application makes no further request. A proxy does not keep
// connections of HTTP/1.0 (RFC 9112 section 9.3).
func (r *request) closes() bool { return !r.modern() || r.has("Connection", "close") }

// repeatable says that sending it twice does no harm (RFC 9110 section 9.2.2) and
// is possible.
func (r *request) repeatable() bool {
	safe := []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}
	return r.body() == nil && slices.Contains(safe, r.method)
}

// upgrade is the protocol that the application wants to go on with; empty: none. To
// HTTP/2 nobody changes behind a proxy that has not asked for it.
func (r *request) upgrade() string {
	v := strings.Join(r.all("Upgrade"), ", ")
	if !r.modern() || !r.has("Connection", "upgrade") || strings.Contains(strings.ToLower(v), "h2c") {
		return ""
	}
	return v
}

// hops takes one off Max-Forwards, where that means something (RFC 9110 section
// 7.6.2). It is false if the request has come far enough.
func (r *request) hops() bool {
	if r.method != http.MethodTrace && r.method != http.MethodOptions {
		return true
	}
	for i, f := range r.fields {
		if !strings.EqualFold(f.name, "Max-Forwards") {
			continue
		}
		n, err := strconv.ParseUint(f.value, 10, 31)
		if err != nil {
			continue
		}
		if n == 0 {
			return false
		}
		r.fields[i].value = strconv.FormatUint(n-1, 10)
	}
	return true
}

// host is what Host says: the port only if it is not http's own.
func (r *request) host() string {
	if r.target.Port != defaultPort {
		return r.target.String()
	}
	return strings.TrimSuffix(r.target.String(), ":"+strconv.Itoa(defaultPort))
}

// appendHead appends the head as the target gets it: fields in their order and
// spelling, without those of this connection. Nothing is added that tells of us or of
// who asks: no Forwarded, and no Via either, though RFC 9110 section 7.6.3 wants it.
func (r *request) appendHead(b []byte) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\n", r.method, r.uri)
	b = appendField(b, "Host", r.host())
	drop := dropped(r.all("Connection"))
	for _, f := range r.fields {
		name := strings.ToLower(f.name)
		if drop(name) || name == "host" || name == "expect" && (!r.modern() || r.noExpect) {
			continue
		}
		b = appendField(b, f.name, f.value)
	}
	var connection []string
	if u := r.upgrade(); u != "" {
		connection = append(connection, "Upgrade")
		b = appendField(b, "Upgrade", u)
	}
	if r.has("TE", "trailers") {
		connection = append(connection, "TE")
		b = appendField(b, "TE", "trailers")
	}
	if r.closes() {
		connection = append(connection, "close")
	}
	if len(connection) > 0 {
		b = appendField(b, "Connection", strings.Join(connection, ", "))
	}
	switch length := r.get("Content-Length"); {
	case r.chunked():
		b = appendField(b, "Transfer-Encoding", "chunked")
		b = r.appendAnnounced(b)
	case length != "":
		b = appendField(b, "Content-Length", length)
	}
	return append(b, "\r\n"...)
}

// appendAnnounced appends the field that says which trailer fields are to come.
func (r *request) appendAnnounced(b []byte) []byte {
	var names []string
	for _, v := range r.all("Trailer") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.Trim(name, " \t"); goodTrailer(name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return b
	}
	return appendField(b, "Trailer", strings.Join(names, ", "))
}
