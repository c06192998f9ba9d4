package httpdoor

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"tunnels/internal/socksaddr"
)

// localPage returns the page for a request to this port itself, regardless of its Host.
// Such a request is never forwarded. The pages contain no secrets and require no
// password, because browsers do not send one when they fetch a PAC file.
func (f *Door) localPage(local net.Addr, r *request) *page {
	path, _, _ := strings.Cut(r.requestHead.target, "?")
	switch {
	case path != "/" && path != "/proxy.pac":
		return plainPage(http.StatusNotFound, "The proxy itself serves only / and /proxy.pac. Requests through it must use absolute URLs,\nwhich programs send if %s is configured as their HTTP proxy.", f.where(local, r))
	case r.method != http.MethodGet && r.method != http.MethodHead:
		p := plainPage(http.StatusMethodNotAllowed, "This page is read-only.")
		p.fields = []field{{"Allow", "GET, HEAD"}}
		return p
	case path == "/":
		return f.helpPage(f.where(local, r))
	}
	return &page{
		status: http.StatusOK,
		kind:   "application/x-ns-proxy-autoconfig",
		fields: []field{{"Cache-Control", "no-cache"}, {"Cross-Origin-Resource-Policy", "same-origin"}},
		body:   f.pac.script(f.where(local, r), f.users != nil),
	}
}

// where returns the host:port under which the application reached this port: the Host
// field if that can be an address, else the connection's local address.
func (f *Door) where(local net.Addr, r *request) string {
	host := r.get("Host")
	if _, _, err := net.SplitHostPort(host); err != nil {
		host += ":" + strconv.Itoa(defaultPort)
	}
	if a, err := socksaddr.Parse(host); err == nil && !strings.ContainsFunc(a.Host, notInHost) {
		return a.String()
	}
	if tcp, ok := local.(*net.TCPAddr); ok {
		return tcp.String()
	}
	return "127.0.0.1:1080"
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
}
