package tls

import (
	"crypto/ecdsa"
	"crypto/rsa"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tunnels/tls/internal/certtext"
)

// Instructions for getting each end's certificate.
const (
	fixServerFile = "the server's is server.pem, which `tunnels certs init NAME…` creates"
	fixClientFile = "a client's is the NAME.pem that `tunnels certs client NAME` creates"
	fixRenew      = "move server.pem and server.key away and run `tunnels certs init NAME…` in the CA's folder"
)

// ourSchemes are all TLS 1.3 signature schemes (RFC 8446 section 4.2.3) that crypto/tls
// signs and verifies with.
var ourSchemes = []ctls.SignatureScheme{
	ctls.PSSWithSHA256, ctls.PSSWithSHA384, ctls.PSSWithSHA512,
	ctls.ECDSAWithP256AndSHA256, ctls.ECDSAWithP384AndSHA384, ctls.ECDSAWithP521AndSHA512, ctls.Ed25519,
}

// maxRSA is the longest RSA key, in bits, that crypto/tls accepts from its peer.
const maxRSA = 8192

// usable checks that this end can use a certificate and its key at all. If not, the
// other end would refuse every handshake.
func usable(pair *ctls.Certificate, r Role) error {
	use, fix := x509.ExtKeyUsageServerAuth, fixServerFile
	if r == ClientRole {
		use, fix = x509.ExtKeyUsageClientAuth, fixClientFile
	}
	leaf := pair.Leaf
	if !hasUse(leaf, use) {
		return fmt.Errorf("it holds the certificate of %s, which is not a %s certificate, so every connection would fail; %s", certtext.Label(leaf), r, fix)
	}
	ask := &ctls.CertificateRequestInfo{Version: ctls.VersionTLS13, SignatureSchemes: ourSchemes}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if ask.SupportsCertificate(pair) != nil || ok && key.N.BitLen() > maxRSA {
		return fmt.Errorf("its key (%s) cannot be used in TLS 1.3, so every connection would fail; use ECDSA with P-256, P-384 or P-521, Ed25519, or RSA with a key of 1024 to %d bits: %s", keyKind(leaf), maxRSA, fix)
	}
	return nil
}

// keyKind describes the kind of a certificate's key.
func keyKind(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("%d-bit RSA", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA with " + key.Curve.Params().Name
	}
	return cert.PublicKeyAlgorithm.String()
}

// refuse checks one end's files before it starts. It returns an error for problems that
// would break every connection; if there are none, it reports the other findings as
// warnings.
func refuse(cfg Config, role Role) error {
	var bad, warnings []string
	for _, f := range Check(cfg, role, "", time.Now()) {
		if f.Severity == Fatal && !f.starts {
			bad = append(bad, f.String())
		} else {
			warnings = append(warnings, f.String())
		}
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "; also: "))
	}
	for _, w := range warnings {
		cfg.Hooks.warning(w)
	}
	return nil
}

// madeHere matches the names of CAs created by authority.New. Both ends use the same
// such CA, so certificates from two different ones never match.
var madeHere = regexp.MustCompile(`^tunnels CA [0-9a-f]{8}$`)

// allMadeHere reports whether a certificate and all the CAs are from authority.New.
func allMadeHere(leaf *x509.Certificate, cas []*x509.Certificate) bool {
	return madeHere.MatchString(leaf.Issuer.CommonName) && !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		return !madeHere.MatchString(ca.Subject.CommonName)
	})
}

// trusted lists the CAs that an end trusts, for comparison with the CA named other.
func trusted(cas []*x509.Certificate, other string) string {
	var names []string
	for _, ca := range cas {
		name := ca.Subject.CommonName
		if name == other {
			name += " (another CA with that name)"
		}
		if name = certtext.Plain(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return certtext.ShortList(names)
}

// matchesNoHost reports whether a certificate is valid for no host at all: only names
// in subjectAltName count, and addresses only as IP addresses.
func matchesNoHost(cert *x509.Certificate) bool {
	return len(cert.IPAddresses) == 0 && !slices.ContainsFunc(cert.DNSNames, func(name string) bool { return !certtext.IsAddress(name) })
}

// wrongName explains why a server certificate is not valid for a host, and how to fix
// that.
func wrongName(leaf *x509.Certificate, host string, names Names) (reason, fix string) {
	who := "certificate of " + certtext.Label(leaf)
	switch {
	case !hasUse(leaf, x509.ExtKeyUsageServerAuth):
		return who + " is not a server's certificate", "the server was started with the wrong file: " + fixServerFile
	case slices.Contains(leaf.DNSNames, host) && certtext.IsAddress(host):
		return fmt.Sprintf("%s has the address %s as a DNS name, where it has no effect", who, certtext.Plain(host)),
			fmt.Sprintf("make one with subjectAltName=IP:%s", certtext.Plain(host))
	case matchesNoHost(leaf):
		return fmt.Sprintf("%s is valid for no host: only names in subjectAltName count, not the common name", who),
			fmt.Sprintf("make one for %s with subjectAltName, as `tunnels certs init` does", certtext.Plain(host))
	}
	return fmt.Sprintf("%s is valid for %s, not for %s", who, certtext.Covers(leaf), certtext.Plain(host)),
		"use one of its names in " + names.Address + ", or set " + names.ServerName + " to it; for a new certificate, " + fixRenew
}
