package tls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"tunnels/tls/internal/pemfile"
)

// How long certificates are valid. 825 days is the longest validity that all systems
// accept for a server certificate.
const (
	caYears  = 10
	leafDays = 825
	skew     = time.Hour // certificates start this much earlier, for clocks that are behind
)

// authority is a CA that can sign.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// leaf is a newly issued certificate with its key.
type leaf struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority returns a CA that signs leaves and revocation lists, but no other CA.
func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the CA's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The number distinguishes CAs within one file and in messages.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("tunnels CA %08x", uint32(serial.Uint64()))},
		NotBefore:             now.Add(-skew).UTC().Truncate(time.Second),
		NotAfter:              now.AddDate(caYears, 0, 0).UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	return &authority{cert, key}, nil
}

// issue makes a key and a certificate for one role. A server certificate is valid for
// all names, host names and addresses. A client certificate has one name; it is not a
// host name, so it goes into the common name, where no host name is looked up.
func (a *authority) issue(role Role, names []string, from, to time.Time) (leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf{}, fmt.Errorf("make the %s's key: %w", role, err)
	}
	serial, err := newSerial()
	if err != nil {
		return leaf{}, err
	}
	if to.After(a.cert.NotAfter) {
		to = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             from.UTC().Truncate(time.Second),
		NotAfter:              to.UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if len(names[0]) <= maxCommonName {
		template.Subject.CommonName = names[0]
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if role == ServerRole {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, name)
			}
		}
	}
	cert, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return leaf{}, fmt.Errorf("sign the certificate of %s: %w", names[0], err)
	}
	return leaf{cert, key}, nil
}

// issueNow calls issue with the usual dates.
func (a *authority) issueNow(role Role, names []string, now time.Time) (leaf, error) {
	return a.issue(role, names, now.Add(-skew), now.AddDate(0, 0, leafDays))
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 63 random bits: unique among the certificates of a CA, and still
// short enough to type.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil // never 0, RFC 5280 section 4.1.2.2
}

// revocations signs a list. Its next update is due when the CA expires: this CA issues
// a list when it revokes, not on a schedule.
func (a *authority) revocations(number *big.Int, entries []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	template := &x509.RevocationList{
		Number:                    number,
		ThisUpdate:                now.UTC().Truncate(time.Second),
		NextUpdate:                a.cert.NotAfter,
		RevokedCertificateEntries: entries,
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list: %w", err)
	}
	return pemfile.Encode(pemfile.TypeCRL, der), nil
}

func (a *authority) certPEM() []byte { return pemfile.Encode("CERTIFICATE", a.cert.Raw) }

func (l leaf) certPEM() []byte { return pemfile.Encode("CERTIFICATE", l.cert.Raw) }

func (l leaf) keyPEM() ([]byte, error) { return keyPEM(l.key) }

// bundlePEM returns key, certificate and CA as one text.
func (l leaf) bundlePEM(a *authority) ([]byte, error) {
	text, err := l.keyPEM()
	if err != nil {
		return nil, err
	}
	return append(append(text, l.certPEM()...), a.certPEM()...), nil
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pemfile.Encode("PRIVATE KEY", der), nil
}

// Throwaway makes a CA, a server certificate and a client certificate in memory, for
// trying out both roles in one process. The server certificate is valid for names,
// localhost and the loopback addresses. The CA's key is discarded on return, so it
// cannot issue further certificates.
func Throwaway(names ...string) (server, client *Material, err error) {
	now := time.Now()
	names = append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	names, err = hostNames(names)
	if err != nil {
		return nil, nil, err
	}
	ca, err := newAuthority(now)
	if err != nil {
		return nil, nil, err
	}
	s, serr := ca.issueNow(ServerRole, names, now)
	c, cerr := ca.issueNow(ClientRole, []string{firstClient}, now)
	if err := errors.Join(serr, cerr); err != nil {
		return nil, nil, err
	}
	stext, serr := s.bundlePEM(ca)
	ctext, cerr := c.bundlePEM(ca)
	if err := errors.Join(serr, cerr); err != nil {
		return nil, nil, err
	}
	return &Material{Cert: stext, Key: stext, CA: stext}, &Material{Cert: ctext, Key: ctext, CA: ctext}, nil
}
