package tunnel

import (
	"strings"
	"testing"

	"tunnels/internal/testnet"
	"tunnels/tls/ca"
)

// TestRevokedLines checks that after a client's certificate is revoked, the server's
// closing log lines give that as the reason, name the client, and are not errors.
func TestRevokedLines(t *testing.T) {
	for _, way := range []struct {
		eager, mux string
		lines      []string // expected closing lines
	}{
		{"remux", "tls", []string{"[conn] -", "[sess] -", "[sock] -"}},
		{"tls", "", []string{"[sock] -"}},
	} {
		t.Run(way.eager, func(t *testing.T) {
			a := newAuthority(t)
			target := testnet.Echo(t).Addr
			r := start(t, way.eager, way.mux, "tcp", a.apply)
			c := r.dial(t, target)
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if _, err := ca.Revoke(a.dir, "client"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the revoked client can still read")
			}
			for _, line := range way.lines {
				r.serverLog.Wait(t, "server", line, "client client: its certificate was revoked on ")
			}
			r.serverLog.Wait(t, "server", "[warn]", "refused: certificate of client was revoked on ", "its open conn was closed")
			for line := range strings.Lines(r.serverLog.String()) {
				if strings.Contains(line, "[erro]") {
					t.Errorf("the server logged an error: %s", line)
				}
			}
		})
	}
}
