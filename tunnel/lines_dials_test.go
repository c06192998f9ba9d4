package tunnel

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/proxy"

	"tunnels/sla"
)

// TestDialLines: a server that is away for long has a line a minute.
func TestDialLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		l, err := sla.New(sla.Config{Path: "-", Stderr: log})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		log.flush = func() { l.Flush(time.Minute) }
		d := &dialLines{log: l}
		refused, expired := errors.New("connection refused"), errors.New("certificate has expired")
		d.done("a.test:443", 0, nil)
		for range 601 { // 5 minutes
			d.done("a.test:443", 0, refused)
			time.Sleep(500 * time.Millisecond)
		}
		for range 100 { // another reason is worth a line sooner
			d.done("a.test:443", 0, expired)
			time.Sleep(100 * time.Millisecond)
		}
		d.done("a.test:443", 0, nil)
		d.done("a.test:443", 0, nil)
		const away = "[warn] [main] cannot reach server a.test:443: connection refused (120 tries since the last such line)"
		wantLines(t, log,
			"[erro] [main] cannot reach server a.test:443: connection refused",
			away, away, away, away, away,
			"[warn] [main] cannot reach server a.test:443: certificate has expired (96 tries since the last such line)",
			"[info] [main] server a.test:443 can be reached again")
	})
}

// TestRequestsWhileAway: requests that no server takes are counted on one line.
func TestRequestsWhileAway(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	r.server.Close()
	until(t, "the client knows", func() bool {
		refusedBy(t, r)
		return !r.client.servers.Reachable()
	})
	before := len(linesWith(r.clientLog, "[sock]"))
	const most = 10 // tries of the dial that is due meanwhile
	for range 100 {
		refusedBy(t, r)
	}
	if _, err := associate(r.client.Addr().String(), ""); err == nil {
		t.Fatal("associated without a server")
	}
	if n := len(linesWith(r.clientLog, "[sock]")) - before; n > 2*most {
		t.Errorf("%d lines about socks for 101 requests:\n%s", n, r.clientLog)
	}
	r.clientLog.wait(t, "client", "[warn] [main] requests are not carried: ", "cannot be reached")
	r.client.Close()
	if got := linesWith(r.clientLog, "more)"); len(got) == 0 || !strings.Contains(got[0], "requests are not carried") {
		t.Errorf("the log does not count them: %q", got)
	}
}

// refusedBy asks for a target, which there is no server for.
func refusedBy(t *testing.T, r *rig) {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Dial("tcp", "a.test:80"); err == nil {
		c.Close()
	}
}
