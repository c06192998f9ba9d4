package resolve

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"tunnels/internal/code"
)

// newDoH returns a resolver that queries handle over HTTPS at the given URL path.
func newDoH(t *testing.T, path string, handle http.HandlerFunc) *Resolver {
	t.Helper()
	site := httptest.NewUnstartedServer(handle)
	site.EnableHTTP2 = true
	site.StartTLS()
	t.Cleanup(site.Close)
	r := newNet(t, site.URL+path)
	roots := x509.NewCertPool()
	roots.AddCert(site.Certificate())
	r.servers[0].upstream.(*https).transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return r
}

func TestHTTPS(t *testing.T) {
	var asked atomic.Int32
	r := newDoH(t, "/dns-query", func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		if req.Method != http.MethodPost || req.URL.Path != "/dns-query" || req.Header.Get("Content-Type") != "application/dns-message" ||
			req.Header.Get("User-Agent") != "" || req.ProtoMajor != 2 {
			t.Errorf("got %s %s %s with %v", req.Method, req.URL, req.Proto, req.Header)
		}
		b, err := io.ReadAll(req.Body)
		var q message
		if err := q.Unpack(b); err != nil || q.ID != 0 {
			t.Errorf("query %x: %v, with id %d, want 0", b, err, q.ID)
		}
		if err != nil {
			t.Error(err)
		}
		reply, err := right(&q).Pack()
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/dns-message; charset=x")
		w.Write(reply)
	})
	for range 3 {
		wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("got %d queries, want one for each family", n)
	}
}

// TestHTTPSRefused checks that the error for an invalid answer describes it without the
// URL's path, which may contain a customer's key.
func TestHTTPSRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "answered with HTTP status 403"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "answered with HTTP status 302"},
		{"page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, `answered with "text/html"`},
		{"garbage", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", messageType)
			io.WriteString(w, "garbage")
		}, "the answer is to a different question"},
		{"flood", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", messageType)
			io.Copy(w, bytes.NewReader(make([]byte, 1<<20)))
		}, "answered with more than 65535 bytes"},
		{"aborts", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "asking: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newDoH(t, "/s3cret/dns-query", tt.handle)
			_, err := r.Lookup(t.Context(), "client", "a.example")
			if c, _ := code.Of(err); c != code.HostUnreachable || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Lookup = %v, want code %v, with %s and without the secret", err, code.HostUnreachable, tt.want)
			}
		})
	}
}

// TestHTTPSUntrusted checks that a server with an untrusted certificate is not used.
func TestHTTPSUntrusted(t *testing.T) {
	r := newDoH(t, "/dns-query", func(http.ResponseWriter, *http.Request) { t.Error("queried although its certificate is not trusted") })
	r.servers[0].upstream.(*https).transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	wantCode(t, r, "a.example", code.HostUnreachable, "certificate signed by unknown authority")
}
