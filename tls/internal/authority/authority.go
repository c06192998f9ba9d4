package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"

	"tunnels/tls/internal/pemfile"
)

// Role says which end of a conn a certificate is for.
type Role string

// The two roles.
const (
	ServerRole Role = "server"
	ClientRole Role = "client"
)

// CA is a certificate authority that can sign.
type CA struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// Leaf is a newly issued certificate with its key.
type Leaf struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// New returns a CA that can sign leaf certificates and revocation lists, but no other
// CA.
func New(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the CA's key: %w", err)
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
	cert, err := Sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	return &CA{cert, key}, nil
}

// Issue creates a key and a certificate for one role. A server certificate is valid for
// all names, which may be host names and addresses. A client certificate has a single
// name; since it is not a host name, it becomes the common name, which is never matched
// against host names.
func (a *CA) Issue(role Role, names []string, from, to time.Time) (Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, fmt.Errorf("generate the %s's key: %w", role, err)
	}
	serial, err := newSerial()
	if err != nil {
		return Leaf{}, err
	}
	if to.After(a.Cert.NotAfter) {
		to = a.Cert.NotAfter
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
	cert, err := Sign(template, a.Cert, key.Public(), a.Key)
	if err != nil {
		return Leaf{}, fmt.Errorf("sign the certificate for %s: %w", names[0], err)
	}
	return Leaf{cert, key}, nil
}

// IssueNow calls Issue with the default dates.
func (a *CA) IssueNow(role Role, names []string, now time.Time) (Leaf, error) {
	return a.Issue(role, names, now.Add(-skew), now.AddDate(0, 0, leafDays))
}

// Sign creates a certificate from template for the key pub, signed by parent with key.
func Sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 63 random bits, which are unique among a CA's certificates yet
// short enough to type.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, fmt.Errorf("generate a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil // never 0, RFC 5280 section 4.1.2.2
}

// Revocations signs a revocation list. Its next update is due when the CA expires,
// because this CA issues a list for each revocation, not on a schedule.
func (a *CA) Revocations(number *big.Int, entries []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	template := &x509.RevocationList{
		Number:                    number,
		ThisUpdate:                now.UTC().Truncate(time.Second),
		NextUpdate:                a.Cert.NotAfter,
		RevokedCertificateEntries: entries,
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Cert, a.Key)
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list: %w", err)
	}
	return pemfile.Encode(pemfile.TypeCRL, der), nil
}

// CertPEM returns the CA's certificate as PEM.
func (a *CA) CertPEM() []byte { return pemfile.Encode("CERTIFICATE", a.Cert.Raw) }

// CertPEM returns the certificate as PEM.
func (l Leaf) CertPEM() []byte { return pemfile.Encode("CERTIFICATE", l.Cert.Raw) }

// KeyPEM returns the key as PEM.
func (l Leaf) KeyPEM() ([]byte, error) { return KeyPEM(l.Key) }

// BundlePEM returns key, certificate and CA as one text.
func (l Leaf) BundlePEM(a *CA) ([]byte, error) {
	text, err := l.KeyPEM()
	if err != nil {
		return nil, err
	}
	return append(append(text, l.CertPEM()...), a.CertPEM()...), nil
}

// KeyPEM returns a key as PEM, in PKCS #8.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pemfile.Encode("PRIVATE KEY", der), nil
}
