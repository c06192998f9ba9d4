package tunnel

import (
	"net"
	"testing"
	"time"

	"tunnels/internal/admission"
	"tunnels/tls"
)

// TestSilentClient checks that a client opening many silent conns does not keep the
// server from serving others, and that its refused conns are counted and logged with
// its name.
func TestSilentClient(t *testing.T) {
	ca := newAuthority(t)
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		ca.apply(c)
		c.Remux.ConnMax = 8
	})
	mallory := ca.clientConfig("mallory")
	mallory.Protocol = "" // like a client that implements only data frames
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
	if !r.reaches(t, address) {
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
