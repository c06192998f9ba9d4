package tls

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/pemfile"
)

func TestKeys(t *testing.T) {
	p := newPKI(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec := p.leaf(ClientRole, "x").Key
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	h := serve(t, p.server())
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		text []byte // the key in PEM; nil means PKCS #8
	}{
		{"ecdsa", ec, nil},
		{"ecdsa-sec1", ec, pemfile.Encode("EC PRIVATE KEY", sec1)},
		{"ed25519", ed, nil},
		{"rsa", rsaKey, nil},
		{"rsa-pkcs1", rsaKey, pemfile.Encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			template := p.leaf(ClientRole, tt.name).Cert
			cert, err := authority.Sign(template, p.ca.Cert, tt.key.Public(), p.ca.Key)
			if err != nil {
				t.Fatal(err)
			}
			text := tt.text
			if text == nil {
				if text, err = authority.KeyPEM(tt.key); err != nil {
					t.Fatal(err)
				}
			}
			// The order in a file does not matter: the CA comes first here.
			bundle := slices.Concat(p.ca.CertPEM(), []byte("a comment\n"), pemfile.Encode("CERTIFICATE", cert.Raw),
				pemfile.Encode("EC PARAMETERS", []byte{1}), text)
			file := p.write(tt.name+".pem", bundle)
			c, s := h.pair(newClient(t, Config{Cert: file, CA: file}))
			wantTalk(t, c, s)
			if s.PeerName() != tt.name {
				t.Errorf("PeerName = %q, want %q", s.PeerName(), tt.name)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	p := newPKI(t)
	good := p.client("laptop")
	other := p.client("other")
	certOnly := p.write("certonly.pem", p.leaf(ClientRole, "x").CertPEM())
	junk := p.write("junk.pem", []byte("junk"))
	locked := p.write("locked.pem", pemfile.Encode("ENCRYPTED PRIVATE KEY", []byte{1}))
	for _, tt := range []struct {
		role Role
		cfg  Config
		want []string
	}{
		{ServerRole, Config{Cert: p.server().Cert}, []string{"-tls.server.ca is not set", "open proxy", "tunnels certs init"}},
		{ServerRole, Config{CA: good.CA}, []string{"-tls.server.cert", "tunnels certs init"}},
		{ClientRole, Config{Cert: good.Cert, Key: good.Key}, []string{"-tls.client.ca", "tunnels certs client"}},
		{ClientRole, Config{CA: good.CA}, []string{"-tls.client.cert", "tunnels certs client"}},
		{ClientRole, Config{Cert: "absent.pem", CA: good.CA}, []string{"-tls.client.cert", "absent.pem"}},
		{ClientRole, Config{Cert: good.Cert, Key: good.Key, CA: "absent.pem"}, []string{"-tls.client.ca", "absent.pem"}},
		{ClientRole, Config{Cert: good.Cert, Key: other.Key, CA: good.CA}, []string{"does not belong", good.Cert, other.Key}},
		{ClientRole, Config{Cert: certOnly, CA: good.CA}, []string{"holds no private key", "-tls.client.key"}},
		{ClientRole, Config{Cert: junk, CA: good.CA}, []string{"junk.pem", "no certificate and no key"}},
		{ClientRole, Config{Cert: good.Cert, Key: locked, CA: good.CA}, []string{"locked.pem", "passphrase"}},
		{ClientRole, Config{Cert: good.Cert, CA: certOnly}, []string{"-tls.client.ca", "no CA certificate"}},
	} {
		var err error
		tt.cfg = named(tt.cfg, tt.role)
		if tt.role == ServerRole {
			_, err = NewServer(tt.cfg)
		} else {
			_, err = NewClient(tt.cfg)
		}
		if err == nil {
			t.Errorf("new %s of %+v: no error, want %q", tt.role, tt.cfg, tt.want)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("new %s: %v, want %q in it", tt.role, err, want)
			}
		}
		if found := Check(tt.cfg, tt.role, "", time.Now()); !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == Fatal }) {
			t.Errorf("Check of the same = %v, want it to be found", found)
		}
	}
}
