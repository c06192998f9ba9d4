package eagersocks

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// defaultPort is that of http:// URLs.
const defaultPort = 80

// webRequest is a request that is in order. Its body is read from the wire it came by.
type webRequest struct {
	requestHead
	parsed *http.Request // its Trailer is filled in when its body has been read
	local  bool          // for this port itself: a page, not a target
	target Address       // unless local
	uri    string        // unless local or CONNECT: what the target is asked for
}

// readWebRequest waits for the next request. An error that is a *webError is for the
// application to know.
func readWebRequest(w wire) (*webRequest, error) {
	r := &webRequest{}
	if err := w.head(requestHeadMax, r.line); err != nil {
		return nil, err
	}
	if err := r.framing(); err != nil {
		return nil, err
	}
	var err error
	r.parsed, err = http.ReadRequest(w.Reader)
	if _, ok := errors.AsType[*url.Error](err); ok { // repeats the URL, and with it what may be secret
		return nil, badRequest("its target is not a URL")
	}
	if err != nil {
		return nil, badRequest(err.Error())
	}
	return r, r.resolve()
}

// resolve finds out what the request is for, by the form of its target (RFC 9112
// section 3.2).
func (r *webRequest) resolve() error {
	switch {
	case r.method == http.MethodConnect && strings.Contains(r.requestHead.target, "@"):
		return badRequest("CONNECT wants host:port, without who asks")
	case r.method == http.MethodConnect:
		var err error
		if r.target, err = ParseAddress(r.requestHead.target); err == nil && !isHostField(r.target.String()) {
			err = unsupported("host name " + strconv.QuoteToASCII(r.target.Host) + " is not ASCII")
		}
		if err != nil {
			return badRequest(err.Error())
		}
		return nil
	case r.requestHead.target[0] == '/' || r.requestHead.target == "*":
		r.local = true
		return nil
	}
	return r.resolveAbsolute()
}

// resolveAbsolute takes http://host/path apart. The path is passed on as it is.
func (r *webRequest) resolveAbsolute() error {
	scheme, rest, ok := strings.Cut(r.requestHead.target, "://")
	switch {
	case !ok:
		return badRequest("its target is not http://host/path")
	case strings.EqualFold(scheme, "https"):
		return badRequest("https:// goes through a proxy by CONNECT, so that the proxy cannot read it")
	case !strings.EqualFold(scheme, "http"):
		return badRequest("only http:// URLs are forwarded, and CONNECT for everything else")
	case strings.Contains(rest, "#"):
		return badRequest("its target has a fragment")
	}
	var err error
	if r.target, err = targetOfURL(r.parsed.URL); err != nil {
		return badRequest(err.Error())
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		r.uri = rest[i:]
	}
	switch {
	case r.uri == "" && r.method == http.MethodOptions:
		r.uri = "*"
	case r.uri == "" || r.uri[0] == '?':
		r.uri = "/" + r.uri
	}
	r.uri = escaped(r.uri)
	return nil
}

// targetOfURL is the target of an http:// URL. Who is named in it (user@) is left
// out.
func targetOfURL(u *url.URL) (Address, error) {
	port := uint64(defaultPort)
	if p := u.Port(); p != "" {
		var err error
		if port, err = strconv.ParseUint(p, 10, 16); err != nil {
			return Address{}, unsupported("port " + strconv.QuoteToASCII(p) + " is not a number from 1 to 65535")
		}
	}
	a, err := NewAddress(u.Hostname(), uint16(port))
	if err == nil && !isHostField(a.String()) {
		err = unsupported("host name " + strconv.QuoteToASCII(a.Host) + " is not ASCII")
	}
	return a, err
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
func (r *webRequest) body() io.Reader {
	if r.parsed.Body == http.NoBody {
		return nil
	}
	return r.parsed.Body
}

func (r *webRequest) chunked() bool { return r.parsed.ContentLength < 0 }

// waits says that the application sends the body only when it has been told to.
func (r *webRequest) waits() bool {
	return r.body() != nil && r.modern() && r.has("Expect", "100-continue")
}

// closes says that the application makes no further request. A proxy does not keep
// connections of HTTP/1.0 (RFC 9112 section 9.3).
func (r *webRequest) closes() bool { return !r.modern() || r.has("Connection", "close") }

// repeatable says that sending it twice does no harm (RFC 9110 section 9.2.2) and
// is possible.
func (r *webRequest) repeatable() bool {
	safe := []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}
	return r.body() == nil && slices.Contains(safe, r.method)
}

// upgrade is the protocol that the application wants to go on with; empty: none. To
// HTTP/2 nobody changes behind a proxy that has not asked for it.
func (r *webRequest) upgrade() string {
	v := strings.Join(r.all("Upgrade"), ", ")
	if !r.modern() || !r.has("Connection", "upgrade") || strings.Contains(strings.ToLower(v), "h2c") {
		return ""
	}
	return v
}

// hops takes one off Max-Forwards, where that means something (RFC 9110 section
// 7.6.2). It is false if the request has come far enough.
func (r *webRequest) hops() bool {
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
func (r *webRequest) host() string {
	if r.target.Port != defaultPort {
		return r.target.String()
	}
	return strings.TrimSuffix(r.target.String(), ":"+strconv.Itoa(defaultPort))
}

// appendHead appends the head as the target gets it: fields in their order and
// spelling, without those of this connection. Nothing is added that tells of us or of
// who asks: no Forwarded, and no Via either, though RFC 9110 section 7.6.3 wants it.
func (r *webRequest) appendHead(b []byte) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\n", r.method, r.uri)
	b = appendField(b, "Host", r.host())
	drop := dropped(r.all("Connection"))
	for _, f := range r.fields {
		name := strings.ToLower(f.name)
		if drop(name) || name == "host" || name == "expect" && !r.modern() {
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
	switch lengths := r.all("Content-Length"); {
	case r.chunked():
		b = appendField(b, "Transfer-Encoding", "chunked")
		b = appendAnnounced(b, r.parsed.Trailer)
	case len(lengths) > 0:
		b = appendField(b, "Content-Length", strconv.FormatInt(r.parsed.ContentLength, 10))
	}
	return append(b, "\r\n"...)
}
