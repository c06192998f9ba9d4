package tunnel

import (
	"strings"
	"testing"

	"golang.org/x/net/proxy"
)

// TestRequestsWhileServerDown checks that requests made while no server can be reached
// share one line with a count.
func TestRequestsWhileServerDown(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	r.server.Close()
	until(t, "the client has noticed", func() bool {
		refusedBy(t, r, "a.test:80")
		return !r.client.servers.Reachable()
	})
	before := len(r.clientLog.With("[sock]"))
	const most = 10 // requests that may wait for a dial already scheduled
	for range 100 {
		refusedBy(t, r, "a.test:80")
	}
	if _, err := associate(r.client.Addr().String(), ""); err == nil {
		t.Fatal("associated without a server")
	}
	if n := len(r.clientLog.With("[sock]")) - before; n > 2*most {
		t.Errorf("%d lines about socks for 101 requests:\n%s", n, r.clientLog)
	}
	r.clientLog.Wait(t, "client", "[warn] [main] requests fail: ", "cannot be reached")
	r.client.Close()
	r.clientJ.Close()
	if got := r.clientLog.With(" more"); len(got) == 0 || !strings.Contains(got[0], "requests fail") {
		t.Errorf("the log does not count the requests: %q", got)
	}
}

// refusedBy makes a request that must fail.
func refusedBy(t *testing.T, r *rig, target string) {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Dial("tcp", target); err == nil {
		c.Close()
	}
}
