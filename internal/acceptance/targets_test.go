//go:build unix

package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// noise returns n incompressible bytes that depend only on n.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b) // never fails
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// digestOf returns the digest of the data read from r.
func digestOf(t testing.TB, r io.Reader) string {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Errorf("reading data for the digest: %v", err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeFile writes b to a file called name in a new folder.
func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// web starts an HTTP server that is closed when the test ends.
func web(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// webTLS is like web, but over TLS. caFile contains the certificate to trust.
func webTLS(t testing.TB, h http.HandlerFunc) (s *httptest.Server, caFile string) {
	s = httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, writeFile(t, "web.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// answerAfterEOF starts a target that reads to EOF before it sends any data, and then
// sends the digest of the data read, followed by the given number of bytes of noise.
func answerAfterEOF(t testing.TB, more int) *testnet.Server {
	return testnet.Serve(t, func(c *net.TCPConn) {
		got, err := io.ReadAll(c)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "%d %s\n", len(got), digest(got))
		c.Write(noise(more))
	})
}

// answerTo returns the reply to b from answerAfterEOF.
func answerTo(b []byte, more int) string {
	return fmt.Sprintf("%d %s\n", len(b), digest(b)) + string(noise(more))
}

// brief shortens s for use in a message.
func brief(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q… (%d bytes)", s[:200], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// curl runs curl through the SOCKS5 proxy at addr.
func curl(t testing.TB, addr string, args ...string) result {
	t.Helper()
	return run(t, "curl", append([]string{"-sS", "--max-time", "15", "-x", "socks5h://" + addr}, args...)...)
}

// contains fails the test for each string in want that is missing from s.
func contains(t testing.TB, what, s string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(s, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, s)
		}
	}
}

func serveText(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
}

// socksDial connects to target, a host:port with an IPv4 address, through the proxy at
// addr. The connection has a deadline and is closed after the test.
func socksDial(t testing.TB, addr, target string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	at := netip.MustParseAddrPort(target)
	ip := at.Addr().As4()
	var reply [12]byte
	_, err = c.Write(slices.Concat([]byte{5, 1, 0, 5, 1, 0, 1}, ip[:], []byte{byte(at.Port() >> 8), byte(at.Port())}))
	if err == nil {
		_, err = io.ReadFull(c, reply[:])
	}
	if err != nil || reply[3] != 0 {
		t.Fatalf("SOCKS5 CONNECT %s through %s: reply % x, %v", target, addr, reply, err)
	}
	return c.(*net.TCPConn)
}
