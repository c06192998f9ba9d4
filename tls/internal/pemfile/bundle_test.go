package pemfile_test

import (
	"crypto"
	"strings"
	"testing"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/pemfile"
)

func FuzzBundle(f *testing.F) {
	p := newPKI(f)
	text, err := p.leaf(authority.ClientRole, "laptop").BundlePEM(p.ca)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add(pemfile.Encode("RSA PRIVATE KEY", []byte{0x30, 0}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := pemfile.Parse(data)
		if err != nil {
			return
		}
		if len(b.Keys)+len(b.Certs) == 0 {
			t.Error("Parse returned neither an error nor any content")
		}
		type public interface{ Equal(crypto.PublicKey) bool }
		if pair := b.Pair(b.Keys); pair != nil && !pair.Leaf.PublicKey.(public).Equal(pair.PrivateKey.(crypto.Signer).Public()) {
			t.Error("Pair: the key does not belong to the certificate")
		}
		for _, cert := range b.Certs {
			if name := certtext.Label(cert); strings.ContainsAny(name, "\n\r\x00") {
				t.Errorf("label = %q, want no line break", name)
			}
		}
		for _, ca := range b.CAs() {
			if !ca.IsCA {
				t.Error("CAs returned a certificate that is not a CA's")
			}
		}
	})
}
