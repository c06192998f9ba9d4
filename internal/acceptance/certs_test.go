//go:build unix

package acceptance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// snapshot returns the contents of all files in a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

// TestCerts tests the certs command.
func TestCerts(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, name := range []string{"ca.key", "server.key", "client.pem", "laptop.pem"} {
		if info, err := os.Stat(a.file(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	before := snapshot(t, a.dir)
	// No file is ever overwritten, and the error names the existing one.
	for _, tt := range []struct{ args, want []string }{
		{[]string{"init", "-dir", a.dir, "localhost"}, []string{"ca.pem", "exist", "-dir"}},
		{[]string{"client", "-dir", a.dir, "laptop"}, []string{"laptop.pem", "exists"}},
		{[]string{"client", "laptop", "-dir", a.dir}, []string{"laptop.pem", "exists"}},
		{[]string{"client", "-dir", a.dir, "client"}, []string{"client.pem", "exists"}},
		{[]string{"client", "-dir", t.TempDir(), "x"}, []string{"ca.", "certs init"}},
		{[]string{"revoke", "-dir", a.dir, "stranger"}, []string{"stranger", "laptop"}},
	} {
		r := tunnels(t, append([]string{"certs"}, tt.args...)...)
		if r.Code != 1 {
			t.Errorf("certs %v: want exit code 1, got %v", tt.args, r)
		}
		contains(t, strings.Join(tt.args, " "), r.Stderr, tt.want...)
	}
	for _, args := range [][]string{{}, {"init"}, {"init", "-dir", a.dir}, {"client"}, {"client", "-dir", a.dir, "a", "b"}, {"list", "x"}, {"revoke"}, {"renew", "x"}, {"list", "-dir", "/no/certs"}, {"client", "x", "-dir", "/no/certs"}, {"init", "-bogus", "x"},
		{"init", "-dir", a.dir, "x:1"}, {"client", "-dir", a.dir, "server"}, {"client", "-dir", a.dir, "ca"}, {"client", "-dir", a.dir, "../laptop"}, {"client", "-dir", a.dir, "a b"}} {
		if r := tunnels(t, append([]string{"certs"}, args...)...); r.Code != 2 || !strings.Contains(r.Stderr, "cert") && !strings.Contains(r.Stderr, "name \"") {
			t.Errorf("certs %v: want exit code 2 and a mention of certs, got %v", args, r)
		}
	}
	if after := snapshot(t, a.dir); len(after) != len(before) {
		t.Errorf("there are %d files, want %d", len(after), len(before))
	} else {
		for name := range before {
			if after[name] != before[name] {
				t.Errorf("%s has changed", name)
			}
		}
	}
	// The commands that init prints as the next steps work as printed.
	r := tunnels(t, "certs", "init", "-dir", filepath.Join(t.TempDir(), "other"), "localhost").must(t)
	typed := regexp.MustCompile(`(?m)^  tunnels (.*)$`).FindAllStringSubmatch(r.Stdout, -1)
	if len(typed) != 2 {
		t.Fatalf("certs init prints %q, want a command for the server and one for the client", r.Stdout)
	}
	tunnels(t, append(append([]string{"check"}, strings.Fields(typed[0][1])...), "-offline")...).must(t)
	dir := filepath.Dir(strings.Fields(r.Stdout)[1])
	client := tunnels(t, "certs", "client", "phone", "-dir", dir).must(t).Stdout
	contains(t, "certs client", client, "\n  tunnels client -server.addr localhost:443 -tls.client.cert phone.pem\n")
	job{Dir: dir}.run(t, binary, append(append([]string{"check"}, strings.Fields(typed[1][1])...), "-offline")...).must(t)
}

// TestCertsRevoke checks that certificates can be revoked by name or serial number, and
// that list shows which ones are.
func TestCertsRevoke(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	tunnels(t, "certs", "client", "-dir", a.dir, "phone").must(t)
	row := func(name string) []string {
		t.Helper()
		for line := range strings.Lines(tunnels(t, "certs", "list", "-dir", a.dir).must(t).Stdout) {
			if f := strings.Fields(line); f[0] == name {
				return f
			}
		}
		t.Fatalf("certs list lacks %s", name)
		return nil
	}
	for _, name := range []string{"client", "laptop", "phone"} {
		if f := row(name); len(f) != 6 || f[1] != "client" || f[3] != "valid" || f[5] != name+".pem" {
			t.Errorf("certs list: %q, want %s client UNTIL valid SERIAL %s.pem", f, name, name)
		}
	}
	serial := row("phone")[4]
	contains(t, "certs revoke", tunnels(t, "certs", "revoke", "-dir", a.dir, serial).must(t).Stdout, "phone", serial)
	tunnels(t, "certs", "revoke", "-dir", a.dir, "laptop").must(t)
	for name, want := range map[string]string{"phone": "revoked", "laptop": "revoked", "client": "valid"} {
		if got := row(name)[3]; got != want {
			t.Errorf("certs list: %s is %s, want %s", name, got, want)
		}
	}
	// A revoked client is refused, and both ends log the reason.
	server := startServer(t, a.server()...)
	client := startClient(t, append(a.client("phone.pem"), "-server.addr="+server.Addr)...)
	site := web(t, serveText("hello"))
	if r := curl(t, client.Addr, site.URL); r.Code == 0 {
		t.Errorf("a revoked client reached its target: %v", r)
	}
	server.waitLog(`\[warn\] \[main\] client at 127\.0\.0\.1:\d+ refused: .*revoked`)
	client.waitLog(`\[erro\] .*revoked`)
	good := startClient(t, append(a.client("client.pem"), "-server.addr="+server.Addr)...)
	if got := curl(t, good.Addr, site.URL).must(t).Stdout; got != "hello" {
		t.Errorf("curl = %q, want hello", got)
	}
}

// forge issues a certificate that the authority itself would not issue, signed with its
// key, and returns a file with the certificate, its key and the CA.
func (a authority) forge(t testing.TB, change func(*x509.Certificate)) string {
	t.Helper()
	block := func(name string) []byte {
		data, err := os.ReadFile(a.file(name))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := pem.Decode(data)
		return b.Bytes
	}
	ca, err := x509.ParseCertificate(block("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := x509.ParsePKCS8PrivateKey(block("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "forged"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, b := range []pem.Block{{Type: "PRIVATE KEY", Bytes: pkcs8}, {Type: "CERTIFICATE", Bytes: der}, {Type: "CERTIFICATE", Bytes: ca.Raw}} {
		pem.Encode(&out, &b) // writing to memory cannot fail
	}
	return writeFile(t, "forged.pem", out.Bytes())
}

// TestCheck checks that a valid configuration is reported as ok, and that an error is
// reported together with the command that fixes it.
func TestCheck(t *testing.T) {
	t.Parallel()
	a, b := common(t), newAuthority(t)
	expired := a.forge(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	future := a.forge(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(20 * time.Hour) })
	soon := a.forge(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(100 * time.Hour) })
	torn := writeFile(t, "torn.pem", []byte("-----BEGIN CERTIFICATE-----\nMIIB\n"))
	tunnels(t, "certs", "revoke", "-dir", b.dir, "laptop").must(t)

	server := func(more ...string) []string {
		return append(append([]string{"-server", "-server.addr=:443"}, a.server()...), more...)
	}
	client := func(more ...string) []string {
		return append(append([]string{"-client", "-server.addr=localhost:443"}, a.client("laptop.pem")...), more...)
	}
	all := func(file string) []string {
		return client("-tls.client.cert="+file, "-tls.client.key="+file)
	}
	const certsClient, certsInit = "tunnels certs client", "tunnels certs init"
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"server", server(), 0, []string{"ok"}},
		{"client", client(), 0, []string{"ok"}},
		{"both to try out", []string{"-server", "-client"}, 0, []string{"ok"}},
		{"both with certificates", append(server(), client()...), 0, []string{"ok"}},
		{"without TLS", []string{"-client", "-server.addr=127.0.0.1:1", "-remux.net=tcp"}, 0, []string{"ok"}},
		{"missing server file", server("-tls.server.cert=/nowhere.pem"), 1, []string{"-tls.server.cert", "/nowhere.pem", certsInit}},
		{"missing server CA", server("-tls.server.ca=/nowhere.pem"), 1, []string{"-tls.server.ca", "/nowhere.pem", certsInit}},
		{"missing client file", client("-tls.client.cert=/nowhere.pem"), 1, []string{"-tls.client.cert", "/nowhere.pem", certsClient}},
		{"missing client CA", client("-tls.client.ca=/nowhere.pem"), 1, []string{"-tls.client.ca", "/nowhere.pem", certsClient}},
		{"torn file", client("-tls.client.cert=" + torn), 1, []string{"-tls.client.cert", torn, certsClient}},
		{"wrong CA", client("-tls.client.ca=" + b.file("ca.pem")), 1, []string{"error: ", "laptop is signed by tunnels CA ", "-tls.client.ca trusts tunnels CA ", certsInit}},
		{"no CA", client("-tls.client.ca=" + a.file("server.pem")), 1, []string{"-tls.client.ca", "server.pem", certsInit}},
		{"expired", all(expired), 1, []string{"forged", "expired", certsClient}},
		{"not yet valid", all(future), 1, []string{"forged", "not valid before", "clock"}},
		{"expires soon", all(soon), 0, []string{"warning: ", "forged", "4 days", certsClient, "\nok: "}},
		{"revoked", client(b.client("laptop.pem")...), 1, []string{"revoked", certsClient}},
		{"another's key, client", client("-tls.client.key=" + b.file("laptop.pem")), 1, []string{"-tls.client.key", "-tls.client.cert", certsClient}},
		{"another's key, server", server("-tls.server.key=" + b.file("server.key")), 1, []string{"-tls.server.key", "-tls.server.cert", certsInit}},
		{"client as server", server("-tls.server.cert="+a.file("laptop.pem"), "-tls.server.key="+a.file("laptop.pem")), 1, []string{"-tls.server.cert", "laptop", certsInit}},
		{"server as client", client("-tls.client.cert="+a.file("server.pem"), "-tls.client.key="+a.file("server.key")), 1, []string{"-tls.client.cert", "localhost", certsClient}},
		{"wrong name", server("-server.addr=other.example:443"), 0, []string{"warning: ", "other.example", "localhost", certsInit, "\nok: "}},
		{"bad option", client("-remux.ping.sec=0"), 2, []string{"-remux.ping.sec"}},
	} {
		r := tunnels(t, append([]string{"check", "-offline"}, tt.args...)...)
		if r.Code != tt.code {
			t.Errorf("check, %s: want exit code %d, got %v", tt.name, tt.code, r)
		}
		contains(t, "check, "+tt.name+":", r.Stdout+r.Stderr, tt.want...)
	}
}
