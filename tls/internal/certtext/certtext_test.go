package certtext

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNames(t *testing.T) {
	common := pkix.Name{CommonName: "laptop"}
	address := []net.IP{net.IPv4(203, 0, 113, 7)}
	for _, tt := range []struct {
		cert                x509.Certificate
		name, label, covers string
	}{
		{x509.Certificate{DNSNames: []string{"a.example", "b.example"}, Subject: common, IPAddresses: address}, "a.example", "a.example", "a.example, b.example, 203.0.113.7"},
		{x509.Certificate{Subject: common, IPAddresses: address}, "laptop", "laptop", "203.0.113.7"},
		{x509.Certificate{IPAddresses: address}, "203.0.113.7", "203.0.113.7", "203.0.113.7"},
		{x509.Certificate{SerialNumber: big.NewInt(0x1a2b)}, "serial 1a2b", "serial 1a2b", "no host"},
		{x509.Certificate{DNSNames: []string{"203.0.113.7"}}, "203.0.113.7", "203.0.113.7", "no host"},
		{x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}, "a\nb", `"a\nb"`, "no host"},
		{x509.Certificate{DNSNames: strings.Fields("a b c d e f g h i j")}, "a", "a", "a, b, c, d, e, f, g, h, 2 more"},
	} {
		cert := &tt.cert
		if Name(cert) != tt.name || Label(cert) != tt.label || Covers(cert) != tt.covers {
			t.Errorf("name %q, label %s, covers %q, want %q, %s, %q", Name(cert), Label(cert), Covers(cert), tt.name, tt.label, tt.covers)
		}
	}
	if got := Plain(strings.Repeat("x", 81)); got != `"`+strings.Repeat("x", 80)+`…"` {
		t.Errorf("Plain of 81 letters = %s, want 80 and an ellipsis, quoted", got)
	}
}

func TestOutOfDate(t *testing.T) {
	from := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: from, NotAfter: from.AddDate(1, 0, 0)}
	for now, want := range map[time.Time]string{
		from.Add(-time.Second):       "is not valid before 2026-01-02 15:04 UTC",
		from:                         "",
		from.AddDate(1, 0, 0):        "",
		from.AddDate(1, 0, 0).Add(1): "expired on 2027-01-02 15:04 UTC",
	} {
		if got := OutOfDate(cert, now); got != want {
			t.Errorf("OutOfDate at %v = %q, want %q", now, got, want)
		}
	}
}
