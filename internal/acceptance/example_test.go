//go:build unix

package acceptance

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// TestExample fetches a page through the example program, which runs a client and a
// server built from the packages.
func TestExample(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "own")
	job{Limit: patience}.run(t, "go", "build", "-o", bin, "tunnels/examples/own").must(t)
	socks, exit := freePort(t), freePort(t)
	p := job{}.start(t, "own", bin, "-socks="+socks, "-exit="+exit)
	p.waitStdout(`^socks5h://` + socks)
	page := web(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	if r := linkCurl(t, socks, page.URL); r.Code != 0 || r.Stdout != "hello" {
		t.Errorf("curl: %v", r)
	}
}

// freePort returns a loopback address that is not currently in use.
func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
