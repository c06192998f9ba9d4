//go:build unix

package acceptance

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestReloadShowsNoKey checks that if a running process reloads a key file in place of
// its rules or users file, the error reported to the log and the robot includes no part
// of the key.
func TestReloadShowsNoKey(t *testing.T) {
	t.Parallel()
	key, err := os.ReadFile(common(t).file("laptop.pem"))
	if err != nil {
		t.Fatal(err)
	}
	bare := regexp.MustCompile(`(?m)^-.*\n`).ReplaceAll(key, nil)
	r := &robot{secret: "SECgeheim"}
	endpoint := web(t, r.ServeHTTP)
	rules, users := writeFile(t, "rules", []byte("[*]\n")), writeFile(t, "users", nil)
	p := startTunnelsEnv(t, "try", []string{"TUNNELS_SLA_DINGTALK_SECRET=" + r.secret}, "-server", "-client", "-client.addr=127.0.0.1:0",
		"-server.rules="+rules, "-client.users="+users, "-sla.dingtalk.token=@"+writeFile(t, "token", []byte("t0ken\n")), "-sla.dingtalk.url="+endpoint.URL+"/send")
	p.waitStdout(`SOCKS5 proxy on (\S+)`)
	for i, text := range [][]byte{key, bare} {
		for _, file := range []string{rules, users} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p.Signal(syscall.SIGHUP)
		for _, role := range []string{"server", "client"} {
			p.waitLog([]string{
				`\[erro\] \[main\] ` + role + `: reloading .*is a certificate or key \(PEM\), not a (rules|users) file`,
				`\[erro\] \[main\] ` + role + `: reloading .*(:1: want key = value|line 1: want name:hash)`,
			}[i])
		}
	}
	eventually(t, patience, "an alert has been sent", func() bool { return len(r.all()) > 0 })
	p.stop()
	said := p.log() + p.Stdout.String() + p.Stderr.String()
	for _, m := range r.all() {
		said += m.text
	}
	secret := strings.ReplaceAll(string(bare), "\n", "")
	const least = 8 // shorter matches may be a coincidence
	for i := range len(secret) - least {
		if part := secret[i : i+least]; strings.Contains(said, part) {
			t.Fatalf("part %q of the key is shown:\n%s", part, said)
		}
	}
}

// TestNoMessageShowsAPassword checks that if a proxy with user and password is given
// where a file, name or option is expected, no message includes the password.
func TestNoMessageShowsAPassword(t *testing.T) {
	t.Parallel()
	const proxy = "me:s3cret@proxy.example"
	for _, args := range [][]string{
		{"-config", proxy}, {"client", "-tls.client.cert", proxy}, {"-" + proxy}, {"check", "-" + proxy}, {proxy},
		{"users", "list", proxy}, {"users", "add", "-" + proxy}, {"users", "add", "/no/file", proxy},
		{"bench", proxy}, {"bench", "-systems", proxy}, {"certs", "client", proxy}, {"certs", "init", proxy},
		{"certs", "list", "-dir", proxy}, {"certs", "revoke", "-dir", t.TempDir(), proxy}, {"service", proxy}, {"help", proxy},
		{"version", proxy}, {"check", "-offline", "client", "-server.addr", proxy},
	} {
		r := tunnels(t, args...)
		if r.Code == 0 || strings.Contains(r.Stdout+r.Stderr, "s3cret") {
			t.Errorf("tunnels %v: %v", args, r)
		}
	}
}
