package httpdoor

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// pageTextMax limits how much of a reason is shown.
const pageTextMax = 1000

// page is an answer that the proxy itself gives.
type page struct {
	status int
	kind   string // Content-Type; empty: plain text
	fields []field
	body   string
	bare   bool // without the body, for HEAD
	close  bool
}

// appendTo appends the page as an HTTP message.
func (p *page) appendTo(b []byte) []byte {
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\n", p.status, http.StatusText(p.status))
	b = appendField(b, "Content-Type", cmp.Or(p.kind, "text/plain; charset=utf-8"))
	b = appendField(b, "X-Content-Type-Options", "nosniff")
	for _, f := range p.fields {
		b = appendField(b, f.name, f.value)
	}
	b = appendField(b, "Content-Length", strconv.Itoa(len(p.body)))
	if p.close {
		b = appendField(b, "Connection", "close")
	}
	b = append(b, "\r\n"...)
	if p.bare {
		return b
	}
	return append(b, p.body...)
}

// plainPage returns a page of text that tells what is wrong.
func plainPage(status int, format string, a ...any) *page {
	body := fmt.Sprintf("%d %s\n\n%s\n", status, http.StatusText(status), fmt.Sprintf(format, a...))
	return &page{status: status, body: body}
}

// refusedPage returns the page for a request that is not forwarded.
func refusedPage(e *requestError) *page {
	p := plainPage(e.status, "This request is not forwarded: %s.", printable(e.text))
	p.close = true
	return p
}

// failedPage returns the page that tells why a target could not be reached, or did not
// answer.
func failedPage(target socksaddr.Address, c code.Code, text string) *page {
	status := statusOf(c)
	where := "The target"
	if target.Host != "" {
		where = strconv.QuoteToASCII(target.String())
	}
	switch status {
	case http.StatusForbidden:
		return plainPage(status, "%s may not be reached: %s.", where, printable(cmp.Or(text, c.String())))
	default:
		return plainPage(status, "%s cannot be reached through the tunnel: %s.", where, printable(cmp.Or(text, c.String())))
	}
}

// authPage returns the page that asks for name and password.
func authPage() *page {
	p := plainPage(http.StatusProxyAuthRequired, "This proxy requires a valid name and password.")
	p.fields = []field{{"Proxy-Authenticate", `Basic realm="tunnels"`}}
	return p
}

// statusOf returns the status for c.
func statusOf(c code.Code) int {
	switch c {
	case code.NotAllowed, code.NotAuthorised:
		return http.StatusForbidden
	case code.Timeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// printable returns text from an untrusted source in a form that can be shown. Text
// that is printable already may have been escaped before, so it stays as it is.
func printable(text string) string {
	if len(text) > pageTextMax {
		text = text[:pageTextMax] + "..."
	}
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return text
	}
	q := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// dialect encodes the answers to a CONNECT (RFC 9110 section 9.3.6).
type dialect struct{ target socksaddr.Address }

// Accepted implements appconn.Dialect.
func (dialect) Accepted(netip.AddrPort) []byte {
	return []byte("HTTP/1.1 200 Connection established\r\n\r\n")
}

// Refused implements appconn.Dialect.
func (d dialect) Refused(c code.Code, text string) []byte {
	p := failedPage(d.target, c, text)
	p.close = true
	return p.appendTo(nil)
}
