package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tunnels/eagersocks"
	"tunnels/internal/httpdoor"
	"tunnels/internal/rules"
	"tunnels/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// args splits a command line at spaces.
func args(line string) []string { return strings.Fields(line) }

// try contains the arguments of the simplest complete configuration.
const try = "-server -client"

func mustParse(t *testing.T, line string, environ ...string) *Config {
	t.Helper()
	c, err := Parse(args(line), environ)
	if err != nil {
		t.Fatalf("Parse(%s) with %q: %v", line, environ, err)
	}
	return c
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tunnels.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, try)
	n := c.Tunnel
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"Server", c.Server, true},
		{"Client", c.Client, true},
		{"server.net", n.ServerNet, "tcp"},
		{"server.addr", n.ServerAddr, "127.0.0.1:0"},
		{"server.policy", n.ServerChoice, upstream.Best},
		{"Servers", n.Servers, []string(nil)},
		{"client.users", n.ClientUsers, ""},
		{"client.addr", fmt.Sprint(n.ClientAddrs), "[127.0.0.1:1080]"},
		{"remux.net", n.RemuxNet, "tls"},
		{"eagersocks.net", n.EagerNet, "remux"},
		{"eagersocks.eager", n.EagerMode, eagersocks.On},
		{"remux.congestion", n.Congestion.String(), "auto"},
		{"insecure", n.Insecure, false},
		{"remux.reuse.max.sec", n.Remux.ReuseMaxAge, time.Duration(0)}, // remux's default, which stretches
		{"remux.reuse.max.cnt", n.Remux.ReuseMaxCount, 0},
		{"remux.reuse.max.mb", n.Remux.ReuseMaxBytes, int64(64 << 30)},
		{"remux.idle.max.sec", n.Remux.IdleMax, 10 * time.Second},
		{"remux.conn.max.cnt", n.Remux.ConnMax, 1024},
		{"remux.ping.sec", n.Remux.Ping, 15 * time.Second},
		{"remux.window.max.kb", n.Remux.WindowMax, 128 << 20},
		{"remux.memory.max.mb", n.Remux.BudgetMax, int64(256 << 20)},
		{"remux.sess.max.cnt", n.Remux.SessMax, 32768},
		{"server.dial.timeout.sec", n.DialTimeout, 10 * time.Second},
		{"server.dns", fmt.Sprint(n.DNS), "{[system] -server.dns}"},
		{"server.allow", n.Allow.String(), "all"},
		{"server.deny", n.Deny.String(), ""},
		{"server.rules", n.Rules, ""},
		{"server.sess.max.cnt", n.SessMax, rules.Limit{Max: 65536, Rule: "-server.sess.max.cnt"}},
		{"server.client.sess.max.cnt", n.Limits.Sessions, rules.Limit{Rule: "-server.client.sess.max.cnt"}},
		{"server.client.open.max.sec", n.Limits.Opens, rules.Limit{Rule: "-server.client.open.max.sec"}},
		{"server.client.rate.max.kb", n.Limits.Rate, rules.Limit{Rule: "-server.client.rate.max.kb"}},
		{"sla.log.level", c.SLA.Level, "info"},
		{"sla.log.path", c.SLA.Path, "/var/log/tunnels.log"},
		{"sla.log.format", c.SLA.Format, "text"},
		{"sla.log.max.mb", c.SLA.MaxMB, 100},
		{"sla.log.backups", c.SLA.Backups, 5},
		{"sla.dingtalk.targets", c.SLA.DingTalkTargets, false},
		{"sla.dingtalk.url", c.SLA.DingTalkURL, ""},
		{"Warnings", c.Warnings, []string(nil)},
		{"CertsGiven", c.CertsGiven(), false},
		{"Carrier", c.Carrier(), "tls"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("by default %s = %#v, want %#v", tt.name, tt.got, tt.want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, "remux.ping.sec = 3\nremux.idle.max.sec = 3\nremux.conn.max.cnt = 3\n")
	c := mustParse(t, try+" -remux.ping.sec=1 -config "+file,
		"TUNNELS_REMUX_PING_SEC=2", "TUNNELS_REMUX_IDLE_MAX_SEC=2", "TUNNELS_REMUX_CONN_MAX_CNT=", "PATH=/bin")
	r := c.Tunnel.Remux
	if r.Ping != time.Second || r.IdleMax != 2*time.Second || r.ConnMax != 3 {
		t.Errorf("flag, environment, file = %v, %v, %d, want 1s, 2s, 3", r.Ping, r.IdleMax, r.ConnMax)
	}
	for name, want := range map[string]string{
		"remux.ping.sec":     "command line",
		"remux.idle.max.sec": "environment variable TUNNELS_REMUX_IDLE_MAX_SEC",
		"remux.conn.max.cnt": file + ":3",
		"remux.sess.max.cnt": "default",
	} {
		if got := c.origin(name); got != want {
			t.Errorf("origin(%s) = %q, want %q", name, got, want)
		}
	}
	if !c.Given("remux.ping.sec") || c.Given("remux.sess.max.cnt") {
		t.Error("Given does not distinguish options that were set from defaults")
	}
	c = mustParse(t, "", "TUNNELS_SERVER=1", "TUNNELS_CLIENT=true", "TUNNELS_CONFIG="+file)
	if c.Tunnel.Remux.Ping != 3*time.Second || !c.Server || !c.Client || c.File != file {
		t.Errorf("with only the environment: %+v", c)
	}
	if c = mustParse(t, "-server=true -client -server.deny 10.0.0.1 -server.deny 10.0.0.2,a.example"); c.Tunnel.Deny.String() != "10.0.0.1,10.0.0.2,a.example" {
		t.Errorf("a list given twice = %s, want all entries", c.Tunnel.Deny)
	}
}

func TestPACLists(t *testing.T) {
	c := mustParse(t, try+" -client.pac.direct a.example,10.0.0.0/8 -client.pac.direct *.b.example")
	want, err := httpdoor.ParsePACList("a.example,10.0.0.0/8,*.b.example")
	if e := c.Tunnel.Web; err != nil || !reflect.DeepEqual(e.PACDirect, want) || !reflect.DeepEqual(e.PACProxy, httpdoor.PACList{}) {
		t.Errorf("PAC lists = %+v and %+v, want %+v and none", e.PACDirect, e.PACProxy, want)
	}
}

func clientAddrs(c *Config) any { return fmt.Sprint(c.Tunnel.ClientAddrs) }

func TestDerived(t *testing.T) {
	const certs = " -tls.server.cert s -tls.client.ca ca -tls.client.cert c"
	tests := []struct {
		line string
		got  func(*Config) any
		want any
	}{
		{"-client -server -remux.net unix -server.addr /tmp/s", func(c *Config) any { return c.Tunnel.ServerNet }, "unix"},
		{"-client -server -eagersocks.net tcp6", func(c *Config) any { return c.Tunnel.ServerAddr }, "[::1]:0"},
		{"-client -eagersocks.net unix -server.addr /tmp/s", func(c *Config) any { return c.Carrier() }, "unix"},
		{"-server -server.addr :443" + certs, func(c *Config) any { return c.Tunnel.ServerTLS.CA }, "ca"},
		{"-server -server.addr :443 -tls.server.ca own" + certs, func(c *Config) any { return c.Tunnel.ServerTLS.CA }, "own"},
		{"-server -server.addr :443" + certs, func(c *Config) any { return c.CertsGiven() }, true},
		// other machines can reach this exit, so its own machine is protected
		{"-server -client -server.addr :443" + certs, func(c *Config) any { return c.Tunnel.Allow.Empty() }, true},
		{"-server -client -server.dns https://1.1.1.1/dns-query -server.dns system", func(c *Config) any { return fmt.Sprint(c.Tunnel.DNS.Upstreams) }, "[https://1.1.1.1:443 system]"},
		{"-server -client -server.allow private", func(c *Config) any { return c.Tunnel.Allow.String() }, "private"},
		{"-server -client -client.net unix -client.addr /tmp/s", clientAddrs, "[unix:/tmp/s]"},
		{"-server -client -client.addr 127.0.0.1:1080,unix:/tmp/s,tcp6:[::1]:1", clientAddrs, "[127.0.0.1:1080 unix:/tmp/s tcp6:[::1]:1]"},
		{"-server -client -client.net unix -client.addr /tmp/s,tcp:127.0.0.1:0", clientAddrs, "[unix:/tmp/s 127.0.0.1:0]"},
		{"-server -client -client.addr :1080 -client.users f", func(c *Config) any { return c.Tunnel.ClientUsers }, "f"},
		{"-server -client -server.client.rate.max.kb 3", func(c *Config) any { return c.Tunnel.Limits.Rate.Max }, int64(3 << 10)},
		{"-server -client -eagersocks.eager auto", func(c *Config) any { return c.Tunnel.EagerMode }, eagersocks.Auto},
	}
	for _, tt := range tests {
		if got := tt.got(mustParse(t, tt.line)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Parse(%s) yields %v, want %v", tt.line, got, tt.want)
		}
	}
}

func TestHelpAndRole(t *testing.T) {
	for _, h := range []string{"-h", "--help", "-server -h"} {
		if _, err := Parse(args(h), nil); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("Parse(%s) = %v, want flag.ErrHelp", h, err)
		}
	}
	for _, none := range []string{"", "-server=false", "-remux.ping.sec 3"} {
		if _, err := Parse(args(none), nil); !errors.Is(err, ErrNoRole) {
			t.Errorf("Parse(%s) = %v, want ErrNoRole", none, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	secret, rules := writeFile(t, "s3cret\n"), writeFile(t, "[*]\n")
	tests := []struct {
		line, env, want string // want: the only warning, or empty for none
	}{
		{try, "", ""},
		{try + " -sla.dingtalk.token abc", "", "-sla.dingtalk.token: all users of this machine can see it with ps: give it as @FILE or in TUNNELS_SLA_DINGTALK_TOKEN"},
		{try + " -sla.dingtalk.token @" + secret, "", ""},
		{try, "TUNNELS_SLA_DINGTALK_TOKEN=abc", ""},
		{"-server -remux.net tcp -server.addr :443 -insecure", "", "TRAFFIC IS UNENCRYPTED"},
		{"-server -remux.net tcp -server.addr 127.0.0.1:443 -insecure", "", ""},
		{try + " -client.addr :1080 -client.open", "", "anyone who can reach :1080"},
		{try + " -client.addr 127.0.0.1:1080,:1081 -client.open", "", "anyone who can reach :1081"},
		{try + " -client.addr 127.0.0.1:1080,unix:/tmp/s -client.users f", "", ""},
		{try + " -client.addr 127.0.0.1:1080,:1081 -client.users f", "", "-client.users: passwords are sent to :1081 unencrypted"},
		{try + " -client.users f -client.open", "", "-client.open has no effect"},
		{try + " -eagersocks.net tcp -remux.net tcp", "", "-remux.net tcp has no effect"},
		{try + " -server.rules " + rules, "", ""},
		{try + " -server.net unix -server.addr /tmp/s -remux.congestion system", "", "-remux.congestion system has no effect, because -server.net is unix"},
		{try + " -remux.congestion system", "", ""},
		{try + " -remux.net tcp -server.rules " + rules, "", "only the [*] block applies"},
		{try + " -remux.net tcp -tls.server.cert x", "", "-tls… options have no effect"},
	}
	for _, tt := range tests {
		c := mustParse(t, tt.line, tt.env)
		got := strings.Join(c.Warnings, "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || len(c.Warnings) > 1 {
			t.Errorf("Parse(%s) warns %q, want %q", tt.line, got, tt.want)
		}
		if strings.Contains(got, "abc") {
			t.Errorf("Parse(%s): the warning %q contains the secret", tt.line, got)
		}
	}
}

func TestPrintReadsBack(t *testing.T) {
	secret := writeFile(t, "s3cret\n")
	tests := []struct{ line, env string }{
		{try, ""},
		{try + " -client.addr 127.0.0.1:1080,unix:/tmp/s -client.users f", ""},
		{try + " -insecure -client.addr :1080 -client.open -server.deny all:25,*.evil.example", ""},
		{"-client -server.addr [2001:db8::1]:443 -tls.client.cert a#b -tls.client.ca c.pem -sla.log.path -", ""},
		{try + " -sla.dingtalk.token @" + secret + " -sla.log.level debug -remux.window.max.kb 64", ""},
		{try, "TUNNELS_SLA_LOG_PATH= a \"b\" #c\x01"},
		{try, "TUNNELS_SLA_LOG_PATH='x'"},
	}
	for _, tt := range tests {
		c := mustParse(t, tt.line, tt.env)
		var b bytes.Buffer
		if err := c.Print(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Parse([]string{"-config", writeFile(t, b.String())}, nil)
		if err != nil {
			t.Errorf("Parse(%s): Print's output does not parse: %v\n%s", tt.line, err, &b)
			continue
		}
		for _, x := range []*Config{c, again} { // origins are not compared
			x.File = ""
			delete(x.given, "config")
			for k, g := range x.given {
				x.given[k] = given{value: g.value}
			}
		}
		if !reflect.DeepEqual(c, again) {
			t.Errorf("Parse(%s) = %+v, after Print and Parse %+v\n%s", tt.line, c, again, &b)
		}
	}
}

func TestPrintMasksSecrets(t *testing.T) {
	c := mustParse(t, try+" -sla.dingtalk.token t0ken", "TUNNELS_SLA_DINGTALK_SECRET=s3cret")
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "t0ken") || strings.Contains(s, "s3cret") {
		t.Errorf("Print shows a secret:\n%s", s)
	}
	for _, want := range []string{
		"# sla.dingtalk.token is set (command line) and not shown\n",
		"# sla.dingtalk.secret is set (environment variable TUNNELS_SLA_DINGTALK_SECRET) and not shown\n",
		"\nserver = true\n",
		"\n# remux.ping.sec = 15\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Print lacks %q:\n%s", want, &b)
		}
	}
	if _, err := Parse([]string{"-config", writeFile(t, b.String())}, nil); err != nil {
		t.Errorf("Print's output does not parse: %v", err)
	}
}

func TestUsage(t *testing.T) {
	var b bytes.Buffer
	if err := Usage(&b); err != nil {
		t.Fatal(err)
	}
	help := b.String()
	for i, line := range strings.Split(help, "\n") {
		if n := len([]rune(line)); n > columns {
			t.Errorf("line %d of the help has %d characters, want %d at most: %s", i+1, n, columns, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("line %d of the help has trailing spaces: %q", i+1, line)
		}
	}
	flat := strings.Join(strings.Fields(help), " ")
	for _, o := range (&Config{}).all() {
		left := "-" + o.name
		if o.arg != "" {
			left += " " + o.arg
		}
		if !strings.Contains(flat, left+" "+o.describe()) {
			t.Errorf("the help lacks %s with %q", left, o.describe())
		}
		if o.arg != "" && o.def == "" && o.show == "" {
			t.Errorf("-%s has neither a default nor a text to show in its place", o.name)
		}
		if o.name != strings.ToLower(o.name) || strings.ContainsAny(o.name, "_-=# ") {
			t.Errorf("option name %q cannot be spelled in all three ways", o.name)
		}
	}
}

// TestUsageFor: a role's help lists that role's options, and every option is in the
// help of one role or both.
func TestUsageFor(t *testing.T) {
	listed := map[string]int{}
	for _, role := range []string{"client", "server"} {
		var b bytes.Buffer
		if err := UsageFor(&b, role); err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^  -(\S+)`).FindAllStringSubmatch(b.String(), -1) {
			listed[m[1]]++
			if other := end(m[1]); other != "" && other != role {
				t.Errorf("the %s's help lists -%s", role, m[1])
			}
		}
	}
	for name, want := range map[string]int{"server.addr": 2, "tls.server.cert": 1, "tls.client.ca": 1, "tls.server.name": 1, "client": 0, "server": 0, "config": 2} {
		if listed[name] != want {
			t.Errorf("-%s is in the help of %d roles, want %d", name, listed[name], want)
		}
	}
	for _, o := range (&Config{}).all() {
		if listed[o.name] == 0 && o.name != "client" && o.name != "server" {
			t.Errorf("-%s is in the help of neither role", o.name)
		}
	}
}

func TestEnvironmentNamesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, o := range (&Config{}).all() {
		e := envName(o.name)
		if seen[e] != "" {
			t.Errorf("%s stands for both %s and %s", e, seen[e], o.name)
		}
		seen[e] = o.name
	}
	mustParse(t, "-server -client", PasswordEnv+"=hush") // used by the verb users; neither an option nor an error
	if got := envName("server.addr"); got != "TUNNELS_SERVER_ADDR" {
		t.Errorf("envName(server.addr) = %s, want TUNNELS_SERVER_ADDR", got)
	}
}

// TestLogLevels checks that the level names used in the log are also accepted.
func TestLogLevels(t *testing.T) {
	for _, level := range []string{"debug", "debg", "DEBG", "info", "Warn", "erro", "Error", "fata", "FATAL"} {
		c := mustParse(t, "-server -client -sla.log.level "+level)
		if err := c.SLA.Validate(); err != nil {
			t.Errorf("level %s: %v", level, err)
		}
	}
}

// TestLogPathIsDefault checks that sla learns whether the path was set explicitly.
func TestLogPathIsDefault(t *testing.T) {
	for line, want := range map[string]bool{
		"-server -client": true,
		"-server -client -sla.log.path /var/log/tunnels.log": false,
	} {
		if c := mustParse(t, line); c.SLA.Default != want {
			t.Errorf("%s: default = %v, want %v", line, c.SLA.Default, want)
		}
	}
}
