package admission

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/meter"
	"tunnels/internal/policy"
	"tunnels/internal/rules"
	"tunnels/internal/splice"
	"tunnels/remux"
)

// testConfig holds the limits set by a test.
type testConfig struct {
	SessMax, ClientSessMax, ClientOpenMax int
	ClientRateMax                         int64
	Rules                                 string
}

// newTestClients returns Clients with the given limits.
func newTestClients(t *testing.T, cfg testConfig) *Clients {
	t.Helper()
	c := Config{
		Policy:  new(policy.Exit),
		SessMax: rules.Limit{Max: int64(cfg.SessMax), Rule: "-server.sess.max.cnt"},
		Limits: rules.Limits{
			Sessions: rules.Limit{Max: int64(cfg.ClientSessMax), Rule: "-server.client.sess.max.cnt"},
			Opens:    rules.Limit{Max: int64(cfg.ClientOpenMax), Rule: "-server.client.open.max.sec"},
			Rate:     rules.Limit{Max: cfg.ClientRateMax, Rule: "-server.client.rate.max.kb"},
		},
	}
	if cfg.Rules != "" {
		var err error
		if c.Rules, err = rules.Open(cfg.Rules, nil); err != nil {
			t.Fatal(err)
		}
	}
	return New(c)
}

func rulesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantRefused checks that the client is refused another session, and that rule is the
// reason.
func wantRefused(t *testing.T, c *Clients, client, rule string) {
	t.Helper()
	g, err := c.Admit(client, "x.test:80")
	if err == nil {
		g.Leave()
	}
	if why, _ := code.Of(err); why != code.NotAllowed || !strings.Contains(err.Error(), rule) {
		t.Errorf("another session of %q: %v, want it refused by %s", client, err, rule)
	}
}

func mustAdmit(t *testing.T, c *Clients, client string) *Lease {
	t.Helper()
	g, err := c.Admit(client, "x.test:80")
	if err != nil {
		t.Fatalf("another session of %q: %v", client, err)
	}
	return g
}

func TestSessionLimits(t *testing.T) {
	c := newTestClients(t, testConfig{SessMax: 5, ClientSessMax: 2, Rules: rulesFile(t, "[three]\nsess.max.cnt = 3\n[any]\nsess.max.cnt = 0\n")})
	leases := []*Lease{mustAdmit(t, c, "laptop"), mustAdmit(t, c, "Laptop")}
	wantRefused(t, c, "laptop", "-server.client.sess.max.cnt: the client has 2 sessions")
	for range 3 {
		leases = append(leases, mustAdmit(t, c, "three"))
	}
	wantRefused(t, c, "any", "-server.sess.max.cnt: all clients together have 5 sessions")
	leases[0].Leave()
	wantRefused(t, c, "three", "sess.max.cnt for [three]: the client has 3 sessions")
	leases[0] = mustAdmit(t, c, "") // all clients without a certificate count as one
	wantRefused(t, c, "", "-server.sess.max.cnt")
	for _, g := range leases {
		g.Leave()
	}
	for range 4 {
		defer mustAdmit(t, c, "any").Leave()
	}
	wantRefused(t, c, "any", "-server.sess.max.cnt: the client has 4 of the 5 sessions")
	defer mustAdmit(t, c, "another").Leave()
	got := c.Counts()
	if got[RefusedSessions] != 2 || got[RefusedTotal] != 3 || got[RefusedOpens] != 0 || got[RefusedTarget] != 0 {
		t.Errorf("counted %v, want 2 per client and 3 in total", got)
	}
}

func TestOpenLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClients(t, testConfig{ClientOpenMax: 2})
		open := func(client string) (n int) {
			for range 30 {
				if g, err := c.Admit(client, "x.test:80"); err == nil {
					g.Leave()
					n++
				}
			}
			return n
		}
		for _, tt := range []struct {
			wait time.Duration
			want int
		}{{0, 10}, {0, 0}, {time.Second, 2}, {time.Minute, 10}, {idleKeep + time.Second, 10}} {
			time.Sleep(tt.wait)
			if got := open("laptop"); got != tt.want {
				t.Errorf("%v later %d of 30 were admitted, want %d", tt.wait, got, tt.want)
			}
		}
		if got := open("phone"); got != 10 {
			t.Errorf("%d sessions of a second client were admitted, want 10", got)
		}
		wantRefused(t, c, "phone", "-server.client.open.max.sec: the client opens more than 2 sessions per second")
	})
}

// TestIdleClientsAreForgotten checks that memory stays bounded over time and with many
// names.
func TestIdleClientsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClients(t, testConfig{ClientOpenMax: 2})
		stays := mustAdmit(t, c, "stays")
		for i := range idleMax + 100 {
			mustAdmit(t, c, fmt.Sprint("client", i)).Leave()
		}
		if n := len(c.byName); n > idleMax+1 {
			t.Errorf("%d clients are remembered, want at most %d", n, idleMax+1)
		}
		time.Sleep(idleKeep)
		mustAdmit(t, c, "stays").Leave()
		if n := len(c.byName); n != 1 || c.idle.Len() != 0 {
			t.Errorf("%d clients are remembered, %d idle, want only the one with a session", n, c.idle.Len())
		}
		stays.Leave()
		if c.sessions != 0 || c.idle.Len() != 1 {
			t.Errorf("%d sessions, %d idle, want none and one", c.sessions, c.idle.Len())
		}
	})
}

// TestChangedRules checks that changes apply to new sessions and that a running session
// keeps its policy but follows the client's new rate.
func TestChangedRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := rulesFile(t, "[laptop]\nonly = 10.0.0.0/8\nrate.max.kb = 100\n")
		c := newTestClients(t, testConfig{Rules: path})
		before := mustAdmit(t, c, "laptop")
		defer before.Leave()
		if err := os.WriteFile(path, []byte("[laptop]\nonly = 192.168.0.0/16"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		after := mustAdmit(t, c, "laptop")
		defer after.Leave()
		for _, tt := range []struct {
			g    *Lease
			host string
			ok   bool
		}{{before, "10.0.0.1", true}, {before, "192.168.0.1", false}, {after, "10.0.0.1", false}, {after, "192.168.0.1", true}} {
			if err := tt.g.AllowName(tt.host, 80); (err == nil) != tt.ok {
				t.Errorf("target %s: %v, want allowed: %v", tt.host, err, tt.ok)
			}
		}
		if before.in == nil || after.in != nil {
			t.Error("want a rate limit for the session from before the change and none for the one after it")
		}
	})
}

// TestNoRateNoWrapper checks that a client without a rate limit gets the session's
// stream unwrapped, so that splice can use all its fast paths.
func TestNoRateNoWrapper(t *testing.T) {
	c := newTestClients(t, testConfig{ClientSessMax: 9, Rules: rulesFile(t, "[slow]\nrate.max.kb = 1\n[free]\nallow = all\n")})
	var s splice.Stream = &struct{ remux.Session }{}
	for _, name := range []string{"", "other", "free"} {
		g := mustAdmit(t, c, name)
		defer g.Leave()
		if got := g.Stream(s, nil); got != s {
			t.Errorf("the stream for %q is a %T, want the session itself", name, got)
		}
	}
	if _, ok := s.(interface {
		splice.Peeker
		splice.SinkSetter
		splice.Sleeper
	}); !ok {
		t.Error("a session has lost its fast paths")
	}
	slow := mustAdmit(t, c, "slow")
	defer slow.Leave()
	if slow.in == slow.out || slow.in == nil {
		t.Error("want one bucket for each direction")
	}
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	if _, ok := slow.Stream(half{conn}, nil).(*meter.Stream); !ok {
		t.Error("a client with a rate is not metered")
	}
}

type half struct{ net.Conn }

func (half) CloseWrite() error { return nil }
