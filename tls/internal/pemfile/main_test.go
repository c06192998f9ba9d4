package pemfile_test

import (
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"tunnels/tls/internal/authority"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pki is a CA for a test.
type pki struct {
	t  testing.TB
	ca *authority.CA
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	ca, err := authority.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &pki{t, ca}
}

func (p *pki) cas() []*x509.Certificate { return []*x509.Certificate{p.ca.Cert} }

// leaf issues a certificate with the default dates.
func (p *pki) leaf(role authority.Role, names ...string) authority.Leaf {
	p.t.Helper()
	l, err := p.ca.IssueNow(role, names, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// list returns a revocation list with one serial number.
func (p *pki) list(serial int64) []byte {
	p.t.Helper()
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now()}
	text, err := p.ca.Revocations(big.NewInt(1), []x509.RevocationListEntry{entry}, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}
