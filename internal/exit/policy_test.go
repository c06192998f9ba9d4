package exit

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/code"
	"tunnels/internal/testnet"
)

// TestExitRefuses checks that targets on the exit's own machine and network, under any
// name, are refused without being dialed unless allowed by name or address.
func TestExitRefuses(t *testing.T) {
	names := map[string]string{
		"loop.test": "127.0.0.1", "loop6.test": "::1", "both.test": "127.0.0.1 ::1", "private.test": "10.1.2.3 192.168.1.1",
		"metadata.test": "169.254.169.254", "metadata6.test": "fd00:ec2::254",
		"mapped.test": "::ffff:127.0.0.1", "mappedmeta.test": "::ffff:169.254.169.254",
		"nat64.test": "64:ff9b::7f00:1", "zero.test": "0.0.0.0",
	}
	hosts := []string{
		"localhost", "x.localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fd00:ec2::254", "10.0.0.1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
	}
	for name := range names {
		hosts = append(hosts, name)
	}
	dns := zone(t, names)
	e := newTestExit(t, dns, nil)
	l := keep(e)
	for _, host := range hosts {
		wantDialError(t, e, l, host, code.NotAllowed, "-server.allow does not include it")
		if got := l.entries(t); got != "" {
			t.Errorf("%s: dialed %s", host, got)
		}
	}
	for _, allow := range []string{"all", "127.0.0.0/8,::1,10.0.0.0/8,192.168.0.0/16,169.254.169.254,fd00::/8,0.0.0.0", "*.test,*.example"} {
		e := newTestExit(t, dns, func(c *testConfig) { c.Allow = []string{allow} })
		l := keep(e)
		for name := range names {
			wantDialError(t, e, l, name, code.Refused, "connection refused")
			if l.entries(t) == "" {
				t.Errorf("%s with -server.allow %s: nothing was dialed", name, allow)
			}
		}
	}
}

// TestExitPicks checks that only a name's allowed addresses are dialed.
func TestExitPicks(t *testing.T) {
	e := newTestExit(t, zone(t, map[string]string{"a.test": "127.0.0.1 192.0.2.1 ::1 10.0.0.1 2001:db8::1"}), func(c *testConfig) {
		c.Deny = []string{"2001:db8::/32"}
	})
	l := keep(e)
	wantDialError(t, e, l, "a.test", code.Refused, "192.0.2.1:80: connection refused")
	if got := l.entries(t); got != "192.0.2.1" {
		t.Errorf("dialed %s, want only 192.0.2.1", got)
	}
	wantDialError(t, e, l, "gone.test", code.HostUnreachable, "name gone.test does not exist")
	wantDialError(t, e, l, "a\x00.test", code.HostUnreachable, `host "a\x00.test" has a byte`)
	if got := l.entries(t); got != "" {
		t.Errorf("dialed %s for invalid names", got)
	}
}

// TestRebinding checks that a name that is public when judged and loopback a moment
// later is resolved only once, and that the judged address is the one dialed.
func TestRebinding(t *testing.T) {
	var asked atomic.Int32
	dns := testnet.NewDNS(t, func(q *dnsmessage.Message, _ bool) []*dnsmessage.Message {
		list := "127.0.0.1 ::1"
		if q.Questions[0].Type == dnsmessage.TypeA && asked.Add(1) == 1 {
			list = "192.0.2.1"
		} else if asked.Load() <= 1 {
			list = ""
		}
		return []*dnsmessage.Message{testnet.DNSAnswer(q, 0, ips(list)...)}
	})
	e := newTestExit(t, dns, nil)
	l := keep(e)
	wantDialError(t, e, l, "rebind.test", code.Refused, "192.0.2.1:80")
	if n := asked.Load(); n != 1 {
		t.Errorf("%d queries for one dial, want 1", n)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		_, _, err := e.Dial(t.Context(), "client", l, "rebind.test", 80)
		if c, _ := code.Of(err); c == code.NotAllowed {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("dial = %v long after the DNS answer expired, want code %v", err, code.NotAllowed)
		}
	}
	if got := strings.ReplaceAll(l.entries(t), "192.0.2.1", ""); strings.TrimSpace(got) != "" {
		t.Errorf("dialed %s", got)
	}
}
