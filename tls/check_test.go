package tls

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/tls/internal/certtext"
)

func TestCheck(t *testing.T) {
	now := time.Now()
	in := func(d int) time.Time { return now.Add(time.Duration(d)*24*time.Hour + time.Minute) }
	tests := []struct {
		name    string
		setUp   func(p *pki) Config
		role    Role
		address string
		want    []string // "severity: words in the text; words in the fix"
	}{
		{"a good server", func(p *pki) Config { return p.server() }, ServerRole, "127.0.0.1:443", nil},
		{"a good client", func(p *pki) Config { return p.client("x") }, ClientRole, "anywhere:443", nil},
		{"server on any address", func(p *pki) Config { return p.server() }, ServerRole, ":443", nil},
		{"server on the unspecified address", func(p *pki) Config { return p.server() }, ServerRole, "[::]:443", nil},
		{"other server address", func(p *pki) Config { return p.server() }, ServerRole, "vps.example.com:443",
			[]string{"warning: -server.addr: the server's certificate of localhost is valid for localhost, 127.0.0.1, not for vps.example.com; tunnels certs init"}},
		{"other server name", func(p *pki) Config {
			c := p.server()
			c.ServerName = "vps"
			return c
		}, ServerRole, ":443", []string{"warning: -tls.server.name: the server's certificate of localhost is valid for localhost, 127.0.0.1, not for vps; tunnels certs init"}},
		{"client with a path", func(p *pki) Config { return p.client("x") }, ClientRole, "/run/x.sock",
			[]string{"error: set -tls.server.name; "}},
		{"expired", func(p *pki) Config { return p.config("x.pem", p.leafAt(ClientRole, in(-9), in(-2), "x")) }, ClientRole, "",
			[]string{"error: the client's certificate x expired on " + certtext.Day(in(-2)) + "; tunnels certs client"}},
		{"expired server", func(p *pki) Config { return p.config("x.pem", p.leafAt(ServerRole, in(-9), in(-2), "x")) }, ServerRole, "",
			[]string{"error: the server's certificate x expired on " + certtext.Day(in(-2)) + "; move server.pem"}},
		{"not yet valid", func(p *pki) Config { return p.config("x.pem", p.leafAt(ClientRole, in(2), in(9), "x")) }, ClientRole, "",
			[]string{"error: the client's certificate x is not valid before " + certtext.Day(in(2)) + "; clocks"}},
		{"about to expire", func(p *pki) Config { return p.config("x.pem", p.leafAt(ClientRole, in(-9), in(20), "x")) }, ClientRole, "",
			[]string{"warning: the client's certificate x expires in 20 days, on " + certtext.Day(in(20)) + "; tunnels certs client"}},
		{"not yet about to expire", func(p *pki) Config { return p.config("x.pem", p.leafAt(ClientRole, in(-9), in(22), "x")) }, ClientRole, "", nil},
		{"wrong use", func(p *pki) Config { return p.client("x") }, ServerRole, "",
			[]string{"error: x.pem (-tls.server.cert): it holds the certificate of x, which is not a server certificate, so every connection would fail; "}},
		{"revoked", func(p *pki) Config {
			l := p.leaf(ClientRole, "x")
			p.revoke(l)
			return p.config("x.pem", l)
		}, ClientRole, "", []string{"error: certificate of x was revoked on ; tunnels certs client"}},
		{"broken revocation list", func(p *pki) Config {
			p.write("ca.crl", []byte("broken"))
			return p.client("x")
		}, ClientRole, "", []string{"error: ca.crl: no revocation list in PEM form; copy"}},
		{"a different CA", func(p *pki) Config {
			c := newPKI(p.t).client("x")
			c.CA = p.path("ca.pem")
			return c
		}, ClientRole, "", []string{"error: the client's certificate x is signed by tunnels CA ; same"}},
		{"a separate CA for each end", func(p *pki) Config {
			c := newForeignPKI(p.t, "corporate").client("x")
			c.CA = p.path("ca.pem")
			return c
		}, ClientRole, "", []string{"warning: the client's certificate x is signed by corporate, and -tls.client.ca trusts tunnels CA ; if both ends"}},
		{"a different CA of the same name", func(p *pki) Config {
			c := newForeignPKI(p.t, "corporate").server()
			c.CA = newForeignPKI(p.t, "corporate").path("ca.pem")
			return c
		}, ServerRole, "", []string{"warning: is signed by corporate, and -tls.server.ca trusts corporate (another CA with that name); same"}},
		{"one of two CAs expired", func(p *pki) Config {
			c := p.server()
			old := newPKI(p.t)
			old.expire(now.Add(-time.Hour))
			c.CA = p.write("both.pem", slices.Concat(p.ca.CertPEM(), old.ca.CertPEM()))
			return c
		}, ServerRole, "", []string{"warning: the CA tunnels CA ; certs init -dir"}},
		{"the only CA expired", func(p *pki) Config {
			p.expire(now.Add(-time.Hour))
			return p.server()
		}, ServerRole, "", []string{"error: expired on ; move server.pem", "error: the CA tunnels CA ; certs init -dir"}},
		{"no name except the common name", func(p *pki) Config { return p.withNames(ServerRole, "localhost", nil, nil) }, ServerRole, "",
			[]string{"error: -tls.server.cert: certificate of localhost is valid for no host: only names in subjectAltName count; subjectAltName=DNS:NAME"}},
		{"an address as a DNS name", func(p *pki) Config { return p.withNames(ServerRole, "x", []string{"127.0.0.1"}, nil) }, ServerRole, "127.0.0.1:443",
			[]string{"error: is valid for no host; certs init"}},
		{"an address as a DNS name next to a real one", func(p *pki) Config {
			return p.withNames(ServerRole, "x", []string{"vps.example.com", "127.0.0.1"}, nil)
		}, ServerRole, "127.0.0.1:443",
			[]string{"warning: has the address 127.0.0.1 as a DNS name, where it has no effect; certs init"}},
		{"a key without a TLS 1.3 signature scheme", func(p *pki) Config { return p.withKey(ServerRole, elliptic.P224()) }, ServerRole, "",
			[]string{"error: its key (ECDSA with P-224) cannot be used in TLS 1.3; "}},
		{"the same at a client", func(p *pki) Config { return p.withKey(ClientRole, elliptic.P224()) }, ClientRole, "",
			[]string{"error: its key (ECDSA with P-224) cannot be used in TLS 1.3; "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := Check(named(tt.setUp(newPKI(t)), tt.role), tt.role, tt.address, now)
			if len(found) != len(tt.want) {
				t.Fatalf("Check = %q, want %q", found, tt.want)
			}
			for i, f := range found {
				severity, words, _ := strings.Cut(tt.want[i], ": ")
				text, fix, _ := strings.Cut(words, "; ")
				if string(f.Severity) != severity || !strings.Contains(f.Text, text) || !strings.Contains(f.Fix, fix) {
					t.Errorf("Check = %s: %q; %q, want %q", f.Severity, f.Text, f.Fix, tt.want[i])
				}
			}
		})
	}
}

// TestStarts checks that an end does not start if every connection is certain to fail,
// and says how to fix that; otherwise it starts with a warning.
func TestStarts(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		setUp func(p *pki) Config
		role  Role
		want  string // expected error, or empty if it starts with a warning
	}{
		{"a client's certificate at the server", func(p *pki) Config { return p.client("laptop") }, ServerRole, "the server's is server.pem"},
		{"a server's certificate at a client", func(p *pki) Config { return p.server() }, ClientRole, "a client's is the NAME.pem"},
		{"expired", func(p *pki) Config {
			return p.config("x.pem", p.leafAt(ClientRole, now.Add(-48*time.Hour), now.Add(-time.Hour), "x"))
		}, ClientRole, "tunnels certs client NAME"},
		{"not yet valid", func(p *pki) Config {
			return p.config("x.pem", p.leafAt(ClientRole, now.Add(time.Hour), now.Add(900*time.Hour), "x"))
		}, ClientRole, ""},
		{"revoked", func(p *pki) Config {
			l := p.leaf(ClientRole, "x")
			p.revoke(l)
			return p.config("x.pem", l)
		}, ClientRole, ""},
		{"certificate and CA from two folders", func(p *pki) Config {
			c := newPKI(p.t).server()
			c.CA = p.path("ca.pem")
			return c
		}, ServerRole, "from the same `tunnels certs init`"},
		{"a separate CA for each end", func(p *pki) Config {
			c := newForeignPKI(p.t, "public").server()
			c.CA = p.path("ca.pem")
			return c
		}, ServerRole, ""},
		{"a key without a TLS 1.3 signature scheme", func(p *pki) Config { return p.withKey(ServerRole, elliptic.P224()) }, ServerRole, "use ECDSA with P-256"},
		{"no name", func(p *pki) Config { return p.withNames(ServerRole, "localhost", nil, nil) }, ServerRole, "tunnels certs init"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, rec := tt.setUp(newPKI(t)), newRecorder()
			cfg.Hooks = rec.hooks()
			var err error
			if tt.role == ServerRole {
				var s *Server
				if s, err = NewServer(cfg); err == nil {
					s.Close()
				}
			} else {
				_, err = NewClient(cfg)
			}
			switch {
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("new %s: %v, want %q", tt.role, err, tt.want)
			case tt.want != "" && len(rec.warnings) > 0:
				t.Errorf("warnings in addition to an error: %q", rec.warnings)
			case tt.want == "" && (err != nil || len(rec.warnings) != 1):
				t.Errorf("new %s: %v and warnings %q, want one warning", tt.role, err, rec.warnings)
			}
		})
	}
}

func TestKeyPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file modes are not supported here")
	}
	p := newPKI(t)
	cfg := p.server()
	if err := os.Chmod(cfg.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	want := "the key in " + cfg.Key + " can be read by other users (its mode is 0644); `chmod 600 " + cfg.Key + "`"
	found := Check(cfg, ServerRole, "", time.Now())
	if len(found) != 1 || found[0].Severity != Warning || found[0].String() != want {
		t.Errorf("Check = %q, want %q", found, want)
	}
	h := serve(t, cfg)
	if got := h.rec.warnings; len(got) != 1 || got[0] != want {
		t.Errorf("warnings of NewServer = %q, want %q", got, want)
	}
}

func TestKeyLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	t.Setenv(keyLogEnv, file)
	p := newPKI(t)
	h := serve(t, p.server())
	if got := strings.Join(h.rec.warnings, "\n"); !strings.Contains(got, "SSLKEYLOGFILE is set") || !strings.Contains(got, file) {
		t.Errorf("warnings = %q, want one about the keys", got)
	}
	t.Setenv(keyLogEnv, "")
	c, s := h.pair(newClient(t, p.client("laptop")))
	wantTalk(t, c, s)
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), "CLIENT_TRAFFIC_SECRET_0 ") {
		t.Errorf("key log = %q, %v, want the secrets of the conn", data, err)
	}
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key log = %v, want 0600", info.Mode())
	}
	t.Setenv(keyLogEnv, filepath.Join(t.TempDir(), "absent", "keys"))
	rec := newRecorder()
	cfg := p.client("second")
	cfg.Hooks = rec.hooks()
	newClient(t, cfg)
	if got := strings.Join(rec.warnings, "\n"); !strings.Contains(got, "cannot be written") {
		t.Errorf("warnings = %q, want one about a file that cannot be written", got)
	}
}
