package tls

import (
	"crypto/ecdsa"
	"crypto/rsa"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What gives each end a certificate of its own.
const (
	mendServerFile = "the server's is server.pem, which `tunnels certs init NAME…` makes"
	mendClientFile = "a client's is the NAME.pem that `tunnels certs client NAME` makes"
	mendRenew      = "move server.pem and server.key away and run `tunnels certs init NAME…` in the CA's folder"
)

// ourSchemes are all signatures of TLS 1.3 (RFC 8446 section 4.2.3) that
// crypto/tls makes and verifies.
var ourSchemes = []ctls.SignatureScheme{
	ctls.PSSWithSHA256, ctls.PSSWithSHA384, ctls.PSSWithSHA512,
	ctls.ECDSAWithP256AndSHA256, ctls.ECDSAWithP384AndSHA384, ctls.ECDSAWithP521AndSHA512, ctls.Ed25519,
}

// maxRSA is the longest RSA key, in bits, that crypto/tls accepts of its peer.
const maxRSA = 8192

// usable checks that a certificate and its key can serve this end at all: the
// other end would refuse every handshake with one that cannot.
func usable(pair *ctls.Certificate, r Role) error {
	use, mend := x509.ExtKeyUsageServerAuth, mendServerFile
	if r == ClientRole {
		use, mend = x509.ExtKeyUsageClientAuth, mendClientFile
	}
	leaf := pair.Leaf
	if !hasUse(leaf, use) {
		return fmt.Errorf("it holds the certificate of %s, which is not a %s's, so every connection would fail; %s", label(leaf), r, mend)
	}
	ask := &ctls.CertificateRequestInfo{Version: ctls.VersionTLS13, SignatureSchemes: ourSchemes}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if ask.SupportsCertificate(pair) != nil || ok && key.N.BitLen() > maxRSA {
		return fmt.Errorf("its key (%s) cannot be used in TLS 1.3, so every connection would fail; take ECDSA with P-256, P-384 or P-521, Ed25519, or RSA of 1024 to %d bits: %s", keyKind(leaf), maxRSA, mend)
	}
	return nil
}

// keyKind is the kind of a certificate's key in words.
func keyKind(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA with " + key.Curve.Params().Name
	}
	return cert.PublicKeyAlgorithm.String()
}

// refuse checks the files of one end before it starts. What certainly keeps every
// connection from working is an error; if there is none, the rest is told as
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

// madeHere matches the names of the CAs that newAuthority makes. One such CA
// signs for both ends, so certificates of two of them never fit.
var madeHere = regexp.MustCompile(`^tunnels CA [0-9a-f]{8}$`)

// allMadeHere reports whether a certificate and all the CAs are from newAuthority.
func allMadeHere(leaf *x509.Certificate, cas []*x509.Certificate) bool {
	return madeHere.MatchString(leaf.Issuer.CommonName) && !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		return !madeHere.MatchString(ca.Subject.CommonName)
	})
}

// trusted lists the CAs of an end, for comparison with the one called other.
func trusted(cas []*x509.Certificate, other string) string {
	var names []string
	for _, ca := range cas {
		name := ca.Subject.CommonName
		if name == other {
			name += " (another CA of that name)"
		}
		if name = plain(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return shortList(names)
}

func shortList(names []string) string {
	const most = 8
	if len(names) > most {
		names = append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// isAddress reports whether a name is written as an IP address. As a DNS name in
// a certificate it matches nothing.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// namesNobody reports whether a certificate matches no host at all: names count
// in subjectAltName alone, and addresses only as addresses.
func namesNobody(cert *x509.Certificate) bool {
	return len(cert.IPAddresses) == 0 && !slices.ContainsFunc(cert.DNSNames, func(name string) bool { return !isAddress(name) })
}

// wrongName says in what way a server's certificate is not for a host, and what
// to do about it.
func wrongName(leaf *x509.Certificate, host string) (reason, mend string) {
	who := "certificate of " + label(leaf)
	switch {
	case !hasUse(leaf, x509.ExtKeyUsageServerAuth):
		return who + " is not a server's certificate", "the server was started with the wrong file: " + mendServerFile
	case slices.Contains(leaf.DNSNames, host) && isAddress(host):
		return fmt.Sprintf("%s has the address %s as a DNS name, where it does not count", who, plain(host)),
			fmt.Sprintf("make one with subjectAltName=IP:%s", plain(host))
	case namesNobody(leaf):
		return fmt.Sprintf("%s is for no host: names count in subjectAltName alone, not in the common name", who),
			fmt.Sprintf("make one for %s with subjectAltName, as `tunnels certs init` does", plain(host))
	}
	return fmt.Sprintf("%s is for %s and not for %s", who, covers(leaf), plain(host)),
		"use a name it is for in -server.addr, or set -tls.server.name to it; for a new certificate, " + mendRenew
}
