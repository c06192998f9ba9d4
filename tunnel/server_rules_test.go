package tunnel

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/resolve"
	"tunnels/internal/testnet"
)

// TestServerRules checks that a missing rules file is an error, that reloading a
// changed file is logged, and that Reload returns an error for an invalid one.
func TestServerRules(t *testing.T) {
	_, err := NewServer(Config{EagerNet: "remux", RemuxNet: "tcp", ServerAddr: "127.0.0.1:0", Rules: "/no/such/file", Names: Names{Rules: "-server.rules"}})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "-server.rules: ") {
		t.Errorf("NewServer with a missing rules file = %v", err)
	}
	path := rulesFile(t, "[*]\n")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, "remux", "tls", "tcp", func(c *Config) { c.Rules, c.Names.Rules = path, "-server.rules" })
	write("[*]\nonly = 192.0.2.0/24\n")
	until(t, "the rules are reloaded", func() bool {
		if c, err := r.server.clients.Admit("client", "x.test:80"); err == nil { // checks the file for changes
			c.Leave()
		}
		return strings.Contains(r.serverLog.String(), "[info] [main] reloaded rules ("+path+")")
	})
	write("[*]\nonly = ")
	if err := r.server.Reload(); err == nil || !strings.Contains(err.Error(), "-server.rules: "+path+":2: only: is empty") {
		t.Errorf("Reload of broken rules = %v", err)
	}
	if n := r.server.Refused()[admission.RefusedTarget]; n != 0 {
		t.Errorf("%d targets were refused, want none", n)
	}
}

// rulesFile writes a rules file and returns its path.
func rulesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// zone returns a DNS server that resolves the given names.
func zone(t *testing.T, names map[string]string) *testnet.DNS {
	t.Helper()
	return testnet.NewDNS(t, func(q *dnsmessage.Message, _ bool) []*dnsmessage.Message {
		ip, ok := names[strings.TrimSuffix(q.Questions[0].Name.String(), ".")]
		if !ok {
			a := testnet.DNSAnswer(q, 60)
			a.RCode = dnsmessage.RCodeNameError
			return []*dnsmessage.Message{a}
		}
		return []*dnsmessage.Message{testnet.DNSAnswer(q, 60, netip.MustParseAddr(ip))}
	})
}

// TestRefusedByName checks that a name that resolves to the exit's own machine gets
// code 2, and can be reached if the name is allowed.
func TestRefusedByName(t *testing.T) {
	dns := zone(t, map[string]string{"site.test": "127.0.0.1"})
	site := testnet.Echo(t)
	address := strings.Replace(site.Addr, "127.0.0.1", "site.test", 1)
	with := func(allow ...string) *rig {
		return start(t, "remux", "tls", "tcp", func(c *Config) {
			c.Allow, c.EagerMode = listOf(allow...), eagersocks.Off
			c.DNS.Upstreams, _ = resolve.Parse(dns.Addr())
		})
	}
	r := with()
	if _, err := r.http().Get("http://" + address); err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("Get(%s) = %v, want SOCKS code 2", address, err)
	}
	r.serverLog.Wait(t, "server", "[warn] [main] refused client client: target site.test (127.0.0.1) port", "is loopback")
	c := with("site.test").dial(t, address)
	defer c.Close()
	got := make([]byte, 4)
	if _, err := c.Write([]byte("echo")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(got); err != nil || string(got) != "echo" {
		t.Errorf("echo = %q, %v", got, err)
	}
}
