package tls

import (
	"strings"
	"testing"
	"time"
)

// TestPlainNames checks that messages about a Config without Names use plain words.
func TestPlainNames(t *testing.T) {
	for role, want := range map[Role][]string{
		ServerRole: {"an open proxy: the CA file is not set", "the certificate file is not set: a server needs"},
		ClientRole: {"a client without a CA cannot verify its server: the CA file is not set; `tunnels certs client NAME`, run where the CA's key is, creates one file that serves as a client's certificate, key and CA"},
	} {
		var all []string
		for _, f := range Check(Config{}, role, "", time.Now()) {
			all = append(all, f.String())
		}
		for _, w := range want {
			if text := strings.Join(all, "\n"); !strings.Contains(text, w) {
				t.Errorf("Check of an empty %s = %s, want %q in it", role, text, w)
			}
		}
	}
}

func TestServerName(t *testing.T) {
	for _, tt := range []struct{ given, network, address, want string }{
		{"", "tcp", "vps.example.com:443", "vps.example.com"},
		{"", "tcp", "vps.example.com.:443", "vps.example.com"},
		{"", "tcp", "[::1]:443", "::1"},
		{"", "tcp", "[fe80::1%eth0]:443", "fe80::1"},
		{"other", "tcp", "vps.example.com:443", "other"},
		{"vps", "unix", "/run/x.sock", "vps"},
	} {
		c := &Client{cfg: Config{ServerName: tt.given}}
		if got, err := c.serverName(tt.network, tt.address); err != nil || got != tt.want {
			t.Errorf("serverName(%q, %q) with %q = %q, %v, want %q", tt.network, tt.address, tt.given, got, err, tt.want)
		}
	}
	for _, tt := range [][2]string{{"unix", "/run/x.sock"}, {"tcp", ":443"}, {"tcp", "vps"}, {"unix", "a:b"}} {
		if got, err := (&Client{cfg: named(Config{}, ClientRole)}).serverName(tt[0], tt[1]); err == nil || !strings.Contains(err.Error(), "-tls.server.name") {
			t.Errorf("serverName(%q, %q) = %q, %v, want an error that names the flag", tt[0], tt[1], got, err)
		}
	}
}
