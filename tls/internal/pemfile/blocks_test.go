package pemfile_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// TestDamagedBlock checks that whichever single byte is lost or changed, a text of
// several blocks is either read completely or rejected.
func TestDamagedBlock(t *testing.T) {
	a, b := newPKI(t), newPKI(t)
	lists := slices.Concat(a.list(1), b.list(2))
	leaf := a.leaf(authority.ServerRole, "localhost")
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	bundle := slices.Concat(key, leaf.CertPEM(), a.ca.CertPEM(), b.ca.CertPEM())
	cas := slices.Concat(a.cas(), b.cas())
	lostList := func(data []byte) bool {
		got, err := crl.Parse(data, cas)
		return err == nil && len(got) != 2
	}
	lostBlock := func(data []byte) bool {
		got, err := pemfile.Parse(data)
		return err == nil && (len(got.Certs) != 3 || len(got.Keys) != 1)
	}
	for _, tt := range []struct {
		name string
		text []byte
		lost func([]byte) bool
	}{{"lists", lists, lostList}, {"bundle", bundle, lostBlock}} {
		if tt.lost(tt.text) {
			t.Fatalf("%s: the undamaged text is not read completely", tt.name)
		}
		for i := range tt.text {
			less := slices.Delete(slices.Clone(tt.text), i, i+1)
			if tt.lost(less) {
				t.Fatalf("%s without byte %d (%q): a block is lost silently", tt.name, i, tt.text[i])
			}
			for _, c := range []byte("A!-\n ") {
				other := slices.Clone(tt.text)
				other[i] = c
				if tt.lost(other) {
					t.Fatalf("%s with byte %d (%q) changed to %q: a block is lost silently", tt.name, i, tt.text[i], c)
				}
			}
		}
	}
}

func TestDamagedBlockIsNamed(t *testing.T) {
	a, b := newPKI(t), newPKI(t)
	la, lb := a.list(1), b.list(2)
	mark := "\xef\xbb\xbf"
	indented := []byte("  " + strings.ReplaceAll(string(la), "\n", "\n  "))
	headless := la[bytes.IndexByte(la, '\n')+1:]
	for _, tt := range []struct {
		name string
		text []byte
		want string // or empty if both lists are read
	}{
		{"whole", slices.Concat(la, lb), ""},
		{"byte order mark", slices.Concat([]byte(mark), la, lb), ""},
		{"byte order mark in the middle", slices.Concat(la, []byte(mark), lb), ""},
		{"CR LF", []byte(strings.ReplaceAll(string(la)+string(lb), "\n", "\r\n")), ""},
		{"text around", slices.Concat([]byte("old\n"), la, []byte("\nnew\n"), lb, []byte("end")), ""},
		{"no newline between", slices.Concat(bytes.TrimSpace(la), lb), "block 1 of 2 is damaged: there is text after its END on the same line"},
		{"no newline between two of three", slices.Concat(bytes.TrimSpace(la), lb, lb), "block 1 of 3 is damaged"},
		{"cut first", slices.Concat(la[:len(la)-60], []byte("\n"), lb), "block 1 of 2 is damaged: its END line is missing"},
		{"cut last", slices.Concat(la, lb[:len(lb)-60]), "block 2 of 2 is damaged: its END line is missing"},
		{"without its head", slices.Concat(headless, lb), "block 1 of 2 is damaged: its BEGIN line is missing"},
		{"last without its head", slices.Concat(lb, headless), "block 2 of 2 is damaged: its BEGIN line is missing"},
		{"indented", slices.Concat(indented, []byte("\n"), lb), "block 1 of 2 is damaged: there is text before its BEGIN"},
		{"alone and indented", indented, "block 1 of 1 is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := crl.Parse(tt.text, slices.Concat(a.cas(), b.cas()))
			switch {
			case tt.want == "" && (err != nil || len(got) != 2):
				t.Errorf("crl.Parse = %d lists, %v, want 2", len(got), err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("crl.Parse = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNotPEM checks that the error for a file in a different format names that format.
func TestNotPEM(t *testing.T) {
	p := newPKI(t)
	leaf := p.leaf(authority.ClientRole, "laptop")
	pkcs8, err := x509.MarshalPKCS8PrivateKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pemfile.Blocks(p.list(1))
	if err != nil {
		t.Fatal(err)
	}
	pfx, err := asn1.Marshal(struct {
		Version int
		Content struct{ Type asn1.ObjectIdentifier }
	}{3, struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		text []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"other text", []byte("junk"), "no certificate and no key in PEM form"},
		{"certificate in DER", leaf.Cert.Raw, "openssl x509 -inform DER"},
		{"key in DER", pkcs8, "openssl pkey -inform DER"},
		{"old key in DER", sec1, "openssl pkey -inform DER"},
		{"list in DER", list[0].Bytes, "openssl crl -inform DER"},
		{"PKCS #12", pfx, "PKCS #12 file (.p12, .pfx); convert it with `openssl pkcs12"},
		{"UTF-16", []byte("\xff\xfe-\x00-\x00"), "this is UTF-16 text"},
		{"openssl's own", pemfile.Encode("TRUSTED CERTIFICATE", leaf.Cert.Raw), "block 1 of 1 (TRUSTED CERTIFICATE): this format is specific to openssl"},
		{"openssl's own among others", slices.Concat(p.ca.CertPEM(), pemfile.Encode("TRUSTED CERTIFICATE", leaf.Cert.Raw)), "block 2 of 2 (TRUSTED CERTIFICATE)"},
		{"a request", pemfile.Encode("CERTIFICATE REQUEST", []byte{1}), "it holds CERTIFICATE REQUEST"},
		{"PKCS #7", pemfile.Encode("PKCS7", []byte{1}), "openssl pkcs7 -print_certs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := pemfile.Parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestErrorsShowNoKey checks that however a key file is damaged, the error contains no
// part of the key.
func TestErrorsShowNoKey(t *testing.T) {
	p := newPKI(t)
	key, err := p.leaf(authority.ClientRole, "laptop").KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Join(strings.Split(strings.TrimSpace(string(key)), "\n")[1:3], "")
	said := 0
	check := func(data []byte) {
		t.Helper()
		_, berr := pemfile.Parse(data)
		_, lerr := crl.Parse(data, p.cas())
		for _, err := range []error{berr, lerr} {
			if err == nil {
				continue
			}
			said++
			for i := range len(body) - 8 {
				if strings.Contains(err.Error(), body[i:i+8]) {
					t.Fatalf("the error %q contains a part of the key", err)
				}
			}
		}
	}
	for i := range key {
		check(key[:i])
		check(key[i:])
		check(slices.Delete(slices.Clone(key), i, i+1))
		check(slices.Insert(slices.Clone(key), i, []byte("-----\n")...))
		check(slices.Insert(slices.Clone(key), i, []byte("-----BEGIN ")...))
	}
	check([]byte("-----BEGIN " + body + "-----\nAAAA\n-----END " + body + "-----\n"))
	if said == 0 {
		t.Error("no error at all, so this test proves nothing")
	}
}
