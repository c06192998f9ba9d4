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

// request is a valid request. Its body is read from the wire it arrived on.
type request struct {
	requestHead
	in       http1.Body        // the body, or nil
	chunks   *http1.Chunked    // in if it is chunked, else nil
	noExpect bool              // omit Expect, which the target does not support
	local    bool              // for one of this port's own pages rather than a target
	target   socksaddr.Address // unset if local
	uri      string            // request target to forward; empty if local or CONNECT
}

// readRequest reads the next request. If the error is a *requestError, the caller
// reports it to the application.
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

// resolve determines the target from the request line (RFC 9112 section 3.2).
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

// escaped returns s after escaping the bytes that are not allowed in a request line.
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

// body returns the body, or nil if there is none.
func (r *request) body() http1.Body { return r.in }

func (r *request) chunked() bool { return r.chunks != nil }

// waits reports whether the application is waiting for a 100 (Continue) before it sends
// the body.
func (r *request) waits() bool {
	return r.body() != nil && r.modern() && !r.noExpect && r.has("Expect", "100-continue")
}

// expectsOnly reports whether Expect contains only 100-continue.
func (r *request) expectsOnly() bool {
	all := r.all("Expect")
	return len(all) == 1 && strings.EqualFold(all[0], "100-continue")
}

// closes reports whether this is the last request on its connection. A proxy does not
// keep HTTP/1.0 connections open (RFC 9112 section 9.3).
func (r *request) closes() bool { return !r.modern() || r.has("Connection", "close") }

// repeatable reports whether the request is idempotent (RFC 9110 section 9.2.2) and has
// no body, so that it can be sent twice.
func (r *request) repeatable() bool {
	safe := []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}
	return r.body() == nil && slices.Contains(safe, r.method)
}

// upgrade returns the protocol that the application requests to switch to, or "" if
// none. An upgrade to HTTP/2 is not forwarded.
func (r *request) upgrade() string {
	v := strings.Join(r.all("Upgrade"), ", ")
	if !r.modern() || !r.has("Connection", "upgrade") || strings.Contains(strings.ToLower(v), "h2c") {
		return ""
	}
	return v
}

// hops decrements Max-Forwards, if it applies (RFC 9110 section 7.6.2). It returns
// false if the request must not be forwarded any further.
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

// host returns the value for Host, which includes the port unless it is the default.
func (r *request) host() string {
	if r.target.Port != defaultPort {
		return r.target.String()
	}
	return strings.TrimSuffix(r.target.String(), ":"+strconv.Itoa(defaultPort))
}

// appendHead appends the head for the target: the original fields in their order and
// spelling, except for the hop-by-hop ones. It adds no Forwarded, and no Via although
// RFC 9110 section 7.6.3 requires one, because they would reveal the proxy or the
// application.
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

// appendAnnounced appends the field that announces the trailers.
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
