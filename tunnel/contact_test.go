package tunnel

import (
	"context"
	"strings"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestContact checks that Contact returns a server that has answered, or the reason why
// none has.
func TestContact(t *testing.T) {
	for _, w := range ways {
		r := start(t, w.eager, w.remux, w.server, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		server, rtt, err := r.client.Contact(ctx)
		cancel()
		want := r.server.Addr().String()
		if w.eager != "remux" {
			want = "" // without remux, nothing is dialed before the first request
		}
		if server != want || err != nil || (rtt > 0) != (want != "") {
			t.Errorf("%v: Contact = %q, %v, %v, want %q", w, server, rtt, err, want)
		}
	}

	closed := testnet.ClosedPort(t)
	r := start(t, "remux", "tls", "tcp", nil)
	cfg := r.cfg
	cfg.Servers = []string{closed, r.cfg.ServerAddr}
	both := newTestClient(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if server, _, err := both.Contact(ctx); server != r.cfg.ServerAddr || err != nil {
		t.Errorf("with one of two servers: Contact = %q, %v", server, err)
	}

	cfg.Servers = []string{closed}
	none := newTestClient(t, cfg)
	until(t, "the dial has failed", func() bool { return !none.servers.Reachable() })
	ended, end := context.WithCancel(t.Context())
	end()
	if server, _, err := none.Contact(ended); server != "" || err == nil || !strings.HasPrefix(err.Error(), closed+": ") || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("without a server: Contact = %q, %v", server, err)
	}
}

// newTestClient returns a client that is listening until the test ends.
func newTestClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	return c
}
