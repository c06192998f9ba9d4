package tls

import (
	"strings"
	"testing"
	"time"
)

func TestClientName(t *testing.T) {
	for _, name := range []string{"laptop", "a", "Anna.Laptop_2-x", "7", strings.Repeat("x", 64)} {
		if err := clientName(name); err != nil {
			t.Errorf("clientName(%q) = %v, want no error", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a..b", "-rf", ".hidden", "a b", "a\nb", "é", "a\x00",
		"ca", "CA", "server", "laptop.pem", strings.Repeat("x", 65)} {
		if err := clientName(name); err == nil {
			t.Errorf("clientName(%q): no error", name)
		} else if !strings.HasPrefix(err.Error(), "client name \"") {
			t.Errorf("clientName(%q) = %v, want it to name the value", name, err)
		}
	}
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{
		"vps.example.com": "vps.example.com", "VPS.Example.com.": "vps.example.com", "localhost": "localhost",
		"203.0.113.7": "203.0.113.7", "2001:DB8::1": "2001:db8::1", "::ffff:1.2.3.4": "1.2.3.4",
		"*.example.com": "*.example.com", "my_host": "my_host", "4ever.example": "4ever.example",
	} {
		if got, err := hostName(in); err != nil || got != want {
			t.Errorf("hostName(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "vps:443", "[::1]", "https://vps", "vps/x", "a b", "a..b", "-a.b", "a-.b", "1.2.3", "0.0.0.0",
		"::", "fe80::1%eth0", "*", "*.com", "a.*.b", "a\nb", "ü.de", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "b"} {
		if got, err := hostName(in); err == nil {
			t.Errorf("hostName(%q) = %q, want an error", in, got)
		}
	}
	if _, err := hostNames(nil); err == nil {
		t.Error("hostNames of none: no error")
	}
}

// TestPlainNames checks that messages about a Config without Names use plain words.
func TestPlainNames(t *testing.T) {
	for role, want := range map[Role][]string{
		ServerRole: {"an open proxy: the CA file is not set", "the certificate file is not set: a server needs"},
		ClientRole: {"a client without a CA cannot tell its server from another: the CA file is not set; `tunnels certs client NAME`, where the CA's key is, makes one file that serves as a client's certificate, key and CA"},
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
