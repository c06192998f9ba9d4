package tunnel

import (
	"net"
	"testing"
	"time"

	"tunnels/internal/admission"
	"tunnels/tls"
)

// A client whose conns say nothing is told apart by its name: others are served, and
// the log and the counts say whose conns were refused.
func TestSilentClient(t *testing.T) {
	ca := newAuthority(t)
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		ca.serve(c)
		c.Remux.ConnMax = 8
	})
	mallory := ca.of("mallory")
	mallory.Protocol = "" // as a client that knows data frames alone
	end, err := tls.NewClient(mallory)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 20 {
		c, err := end.Dial(t.Context(), "tcp", r.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	address, _ := listening(t)
	if !r.try(t, address) {
		t.Error("another client is not served")
	}
	deadline := time.Now().Add(30 * time.Second)
	for r.server.Refused()[admission.RefusedConns] == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := r.server.Refused()[admission.RefusedConns]; n == 0 {
		t.Error("no conn was counted as refused")
	}
	if l := r.serverLog.With("[warn] [main] refused client mallory: "); len(l) == 0 {
		t.Error("the log does not name the client")
	}
}
