package tls

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/tls/ca"
	"tunnels/tls/internal/certtext"
)

func mustInit(t *testing.T, names ...string) (dir string, r *ca.Report) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "certs")
	r, err := ca.Init(dir, names)
	if err != nil {
		t.Fatalf("Init: %v", err)
	}
	return dir, r
}

func files(dir string) (server, client Config) {
	at := func(f string) string { return filepath.Join(dir, f) }
	return Config{Cert: at("server.pem"), Key: at("server.key"), CA: at("ca.pem"), pollEvery: 10 * time.Millisecond},
		Config{Cert: at("client.pem"), Key: at("client.pem"), CA: at("client.pem")}
}

func TestInit(t *testing.T) {
	dir, r := mustInit(t, "VPS.example.com.", "127.0.0.1", "::1", "127.0.0.1")
	var names []string
	for _, f := range r.Files {
		names = append(names, filepath.Base(f))
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o644)
		if holdsKey(f) {
			want = 0o600
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("mode of %s = %o, want %o", f, info.Mode().Perm(), want)
		}
	}
	slices.Sort(names)
	if want := []string{"ca.crl", "ca.key", "ca.pem", "client.pem", "issued", "server.key", "server.pem"}; !slices.Equal(names, want) {
		t.Errorf("Init wrote %v, want %v", names, want)
	}
	scfg, ccfg := files(dir)
	for role, cfg := range map[Role]Config{ServerRole: scfg, ClientRole: ccfg} {
		if found := Check(cfg, role, "vps.example.com:443", time.Now()); len(found) != 0 {
			t.Errorf("Check of the %s = %v, want nothing", role, found)
		}
	}
	cas, err := loadCAs(ccfg, ClientRole)
	if err != nil || len(cas) != 1 || !cas[0].IsCA || !cas[0].MaxPathLenZero {
		t.Fatalf("client.pem as CA file: %v, want one CA, which cannot sign other CAs", err)
	}
	if years := time.Until(cas[0].NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the CA is valid for %.1f years, want 10", years)
	}
	pair, err := loadPair(scfg, ServerRole)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := certtext.Covers(pair.Leaf), "vps.example.com, 127.0.0.1, ::1"; got != want {
		t.Errorf("the server's certificate is for %q, want %q", got, want)
	}
	if got := pair.Leaf.ExtKeyUsage; !slices.Equal(got, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("the server's certificate can be used for %v, want only servers", got)
	}
	c, s := serve(t, scfg).pair(newClient(t, ccfg))
	wantTalk(t, c, s)
	if s.PeerName() != "client" {
		t.Errorf("PeerName = %q, want %q", s.PeerName(), "client")
	}
}

func TestRenewServer(t *testing.T) {
	dir, _ := mustInit(t, "old.example.com")
	content := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	authority, client := content("ca.pem"), content("client.pem")
	for _, f := range []string{"server.pem", "server.key"} {
		if err := os.Rename(filepath.Join(dir, f), filepath.Join(t.TempDir(), f)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ca.Init(dir, []string{"localhost", "127.0.0.1"})
	if err != nil || len(r.Files) != 2 {
		t.Fatalf("Init without server files = %v, %v, want two files", r, err)
	}
	if content("ca.pem") != authority || content("client.pem") != client {
		t.Error("renewing the server's certificate changed other files")
	}
	scfg, ccfg := files(dir)
	c, s := serve(t, scfg).pair(newClient(t, ccfg))
	wantTalk(t, c, s)
}

func TestIssueClient(t *testing.T) {
	dir, _ := mustInit(t, "127.0.0.1")
	r, err := ca.IssueClient(dir, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "laptop.pem")
	if !slices.Equal(r.Files, []string{file}) || len(r.Issued) != 1 || r.Issued[0].Name() != "laptop" {
		t.Errorf("IssueClient = %+v, want %s for laptop", r, file)
	}
	scfg, _ := files(dir)
	c, s := serve(t, scfg).pair(newClient(t, Config{Cert: file, Key: file, CA: file}))
	wantTalk(t, c, s)
	if s.PeerName() != "laptop" || s.PeerSerial() != r.Issued[0].Serial {
		t.Errorf("peer = %s %s, want laptop %s", s.PeerName(), s.PeerSerial(), r.Issued[0].Serial)
	}
	if _, err := ca.IssueClient(t.TempDir(), "laptop"); err == nil || !strings.Contains(err.Error(), "tunnels certs init") {
		t.Errorf("IssueClient without a CA = %v, want an error that names the command", err)
	}
}

func TestListAndRevoke(t *testing.T) {
	dir, _ := mustInit(t, "127.0.0.1")
	first, err := ca.IssueClient(dir, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	scfg, ccfg := files(dir)
	h := serve(t, scfg)
	file := filepath.Join(dir, "laptop.pem")
	moved := filepath.Join(t.TempDir(), "laptop.pem")
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	second, err := ca.IssueClient(dir, "laptop") // the first certificate's file has been moved to the laptop
	if err != nil {
		t.Fatal(err)
	}
	c, _ := h.pair(newClient(t, Config{Cert: moved, Key: moved, CA: moved}))

	revoked, err := ca.Revoke(dir, "laptop")
	if err != nil || len(revoked) != 2 || revoked[0].Serial != first.Issued[0].Serial || revoked[1].Serial != second.Issued[0].Serial {
		t.Fatalf("Revoke(laptop) = %+v, %v, want both its certificates", revoked, err)
	}
	if err := endOf(c); !isReset(err) {
		t.Errorf("open conn of a revoked client ended with %v, want a reset", err)
	}
	all, err := ca.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range all {
		state := "good"
		if !i.Revoked.IsZero() {
			state = "revoked"
		}
		got = append(got, string(i.Role)+" "+i.Name()+" "+state)
	}
	want := []string{"server 127.0.0.1 good", "client client good", "client laptop revoked", "client laptop revoked"}
	if !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	if _, err := ca.Revoke(dir, "laptop"); err == nil || !strings.Contains(err.Error(), "was revoked on") {
		t.Errorf("second Revoke = %v, want an error that says so", err)
	}
	if _, err := ca.Revoke(dir, "desktop"); err == nil || !strings.Contains(err.Error(), "127.0.0.1, client, laptop") {
		t.Errorf("Revoke of an unknown name = %v, want an error that lists the known names", err)
	}
	serial := strings.ToUpper(all[1].Serial)
	if one, err := ca.Revoke(dir, serial); err != nil || len(one) != 1 || one[0].Name() != "client" {
		t.Errorf("Revoke(%s) = %v, %v, want the client's certificate", serial, one, err)
	}
	if _, err := attemptRefused(h, newClient(t, ccfg)); !isReset(err) {
		// ca.crl is also next to client.pem, but here the server must refuse
		t.Errorf("client revoked by serial: %v, want it refused", err)
	}
	if all, err = ca.List(dir); err != nil || all[2].Revoked.IsZero() || all[1].Revoked.IsZero() {
		t.Errorf("List after two revocations = %v, %v, want both kept", all, err)
	}
}

func TestThrowaway(t *testing.T) {
	server, client, err := Throwaway("vps.example.com")
	if err != nil {
		t.Fatal(err)
	}
	h := serve(t, Config{Material: server})
	c, s := h.pair(newClient(t, Config{Material: client}))
	wantTalk(t, c, s)
	c, s = h.pair(newClient(t, Config{Material: client, ServerName: "vps.example.com"}))
	wantTalk(t, c, s)
	_, stranger, err := Throwaway()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attemptRefused(h, newClient(t, Config{Material: stranger})); !isReset(err) {
		t.Errorf("client of a different throwaway CA: %v, want it refused", err)
	}
	if err := h.server.Reload(); err != nil {
		t.Errorf("Reload of certificates in memory: %v", err)
	}
	if found := Check(Config{Material: server}, ServerRole, "localhost:1", time.Now()); len(found) != 0 {
		t.Errorf("Check = %v, want nothing", found)
	}
}

// TestMissingList checks that a missing list in a CA's folder is an error wherever the
// list is needed, because the certificates it revoked would be accepted again, and that
// the error says how to proceed.
func TestMissingList(t *testing.T) {
	dir, _ := mustInit(t, "127.0.0.1")
	cfg := Config{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"), CA: filepath.Join(dir, "ca.pem")}
	if _, err := ca.NewCRL(dir); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("NewCRL next to a list = %v, want an error", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.crl")); err != nil {
		t.Fatal(err)
	}
	_, serr := NewServer(cfg)
	_, lerr := ca.List(dir)
	_, rerr := ca.Revoke(dir, "client")
	for what, err := range map[string]error{"NewServer": serr, "List": lerr, "Revoke": rerr} {
		if err == nil || !strings.Contains(err.Error(), "ca.crl is missing") || !strings.Contains(err.Error(), "certs crl -dir "+dir) {
			t.Errorf("%s without the list = %v, want an error that says how to proceed", what, err)
		}
	}
	if found := Check(cfg, ServerRole, "127.0.0.1:1", time.Now()); len(found) != 1 || found[0].Severity != Fatal {
		t.Errorf("Check without the list = %v", found)
	}
	if _, err := ca.NewCRL(dir); err != nil {
		t.Fatal(err)
	}
	if one, err := ca.Revoke(dir, "client"); err != nil || len(one) != 1 {
		t.Errorf("Revoke after NewCRL = %v, %v", one, err)
	}
	if s, err := NewServer(cfg); err != nil {
		t.Errorf("NewServer after NewCRL = %v", err)
	} else {
		s.Close()
	}
	elsewhere := t.TempDir() // a server's own folder needs no list
	for _, name := range []string{"server.pem", "server.key", "ca.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(elsewhere, name) }
	if s, err := NewServer(Config{Cert: in("server.pem"), Key: in("server.key"), CA: in("ca.pem")}); err != nil {
		t.Errorf("NewServer without a list in a folder of its own = %v", err)
	} else {
		s.Close()
	}
}
