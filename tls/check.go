package tls

import (
	"bytes"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// Severity is the importance of a Finding.
type Severity string

// Severities of findings.
const (
	Fatal   Severity = "error"   // every connection fails
	Warning Severity = "warning" // works now, but unsafely or not for long
)

// Finding is one problem with a configuration.
type Finding struct {
	Severity Severity
	Text     string // problem, with the setting or file
	Fix      string // how to fix it; may be empty

	starts bool // a Fatal finding that does not prevent a start, because it may resolve itself or the other end may not check it
}

// String returns the finding as one line.
func (f Finding) String() string {
	if f.Fix == "" {
		return f.Text
	}
	return f.Text + "; " + f.Fix
}

// nearEnd is how long before a certificate expires Check starts to warn about it.
const nearEnd = 21 * 24 * time.Hour

// checker collects the findings about one Config.
type checker struct {
	cfg   Config
	role  Role
	now   time.Time
	found []Finding
}

// Check reports problems with the files of one end; it returns nil if there are none.
// address is what the server listens on or the client dials; if it is empty, names are
// not checked. Check changes nothing and makes no connections.
func Check(cfg Config, role Role, address string, now time.Time) []Finding {
	c := &checker{cfg: cfg, role: role, now: now}
	pair, err := loadPair(cfg, role)
	c.fatal(err)
	if pair != nil {
		c.own(pair)
		if role == ServerRole {
			c.serverNames(pair.Leaf, address)
		}
	}
	if role == ClientRole {
		c.clientName(address)
	}
	if cas, err := loadCAs(cfg, role); err != nil {
		c.fatal(err)
	} else {
		c.trust(pair, cas)
	}
	c.permissions()
	return c.found
}

func (c *checker) add(s Severity, fix, format string, a ...any) {
	c.found = append(c.found, Finding{Severity: s, Text: fmt.Sprintf(format, a...), Fix: fix})
}

func (c *checker) fatal(err error) {
	if err != nil {
		fix := "`tunnels certs init NAME…` creates the server's files"
		switch {
		case strings.Contains(err.Error(), "`tunnels certs"):
			fix = "" // the error contains it
		case errors.Is(err, fs.ErrPermission):
			fix = "make it readable by the user that tunnels runs as, with chown or chmod"
		case c.role == ClientRole:
			fix = c.cfg.names().fixClient()
		}
		c.add(Fatal, fix, "%v", err)
	}
}

// renew tells the user how to get a new certificate for this end.
func (c *checker) renew() string {
	if c.role == ServerRole {
		return fixRenew
	}
	return c.cfg.names().fixClient()
}

// own checks this end's certificate in isolation.
func (c *checker) own(pair *ctls.Certificate) {
	c.dates(pair.Leaf, "the "+string(c.role)+"'s certificate "+certtext.Label(pair.Leaf), c.renew(), Fatal)
}

// dates checks the validity period of a certificate; bad is the severity if it is not
// valid now. A clock that is behind, as on a small machine without a battery, will be
// corrected later, so a certificate that is not yet valid does not prevent a start.
func (c *checker) dates(cert *x509.Certificate, what, fix string, bad Severity) {
	switch text := certtext.OutOfDate(cert, c.now); {
	case c.now.Before(cert.NotBefore):
		c.add(bad, fixDates, "%s %s", what, text)
		c.found[len(c.found)-1].starts = true
	case text != "":
		c.add(bad, fix, "%s %s", what, text)
	case cert.NotAfter.Sub(c.now) < nearEnd:
		days := int(cert.NotAfter.Sub(c.now) / (24 * time.Hour))
		c.add(Warning, fix, "%s expires in %d days, on %s", what, days, certtext.Day(cert.NotAfter))
	}
}

// serverNames checks that the server certificate is valid for the name clients expect.
func (c *checker) serverNames(leaf *x509.Certificate, address string) {
	if matchesNoHost(leaf) {
		reason, _ := wrongName(leaf, "", Names{})
		c.add(Fatal, "make one with `tunnels certs init NAME…`, or with subjectAltName=DNS:NAME or IP:ADDRESS", "%s: %s, so every client refuses it", c.cfg.names().Cert, reason)
		return
	}
	names := c.cfg.names()
	name, setting := c.cfg.ServerName, names.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(address)
		if ip, perr := netip.ParseAddr(host); err != nil || host == "" || perr == nil && ip.IsUnspecified() {
			return // the server listens on any address, so the name that clients dial is unknown
		}
		name, setting = host, names.Address
	}
	if leaf.VerifyHostname(name) != nil {
		reason, _ := wrongName(leaf, name, Names{})
		c.add(Warning, "let clients use one of its names, or set "+names.ServerName+" to it; for a new certificate, "+fixRenew, "%s: the server's %s", setting, reason)
	}
}

// clientName checks that a client knows which server name to expect.
func (c *checker) clientName(address string) {
	if address == "" {
		return
	}
	_, err := (&Client{cfg: c.cfg}).serverName("", address)
	c.fatal(err)
}

// trust checks the CAs, and checks this end's certificate against them: if both ends
// share one CA, as with `tunnels certs init`, they must match.
func (c *checker) trust(pair *ctls.Certificate, cas []*x509.Certificate) {
	bad := Fatal // without a valid CA every peer is refused; with one, peers that it signed are accepted
	if slices.ContainsFunc(cas, func(ca *x509.Certificate) bool { return certtext.OutOfDate(ca, c.now) == "" }) {
		bad = Warning
	}
	for _, ca := range cas {
		c.dates(ca, "the CA "+certtext.Label(ca)+" ("+c.cfg.names().CA+")", "make a new one in another folder with `tunnels certs init -dir DIR NAME…`", bad)
	}
	crls, found, _, err := loadCRLs(c.cfg, cas)
	if err != nil {
		c.add(Fatal, "copy the ca.crl from the CA's folder again", "%v", err)
	}
	for _, list := range crls {
		if !list.Due.IsZero() && c.now.After(list.Due) {
			c.add(Warning, "copy a newer one from the CA", "revocation list %v should have been replaced by %s", found, certtext.Day(list.Due))
		}
	}
	if pair == nil {
		return
	}
	chains := chainsOf(pair.Leaf, sentWith(pair), cas)
	if len(chains) == 0 {
		c.unsigned(pair.Leaf, cas)
		return
	}
	if err := crl.Check(crls, chains); err != nil {
		c.add(Fatal, c.renew(), "%v, so the other end refuses it", err)
		c.found[len(c.found)-1].starts = true // the other end may not check this
	}
}

// unsigned reports that none of this end's CAs signed its certificate. That can be
// correct if each end has its own CA. A CA from `tunnels certs` is shared by both ends,
// so in that case the other end is certain to reject the certificate.
func (c *checker) unsigned(leaf *x509.Certificate, cas []*x509.Certificate) {
	for _, ca := range cas {
		weak, ok := errors.AsType[x509.InsecureAlgorithmError](leaf.CheckSignatureFrom(ca))
		if ok && bytes.Equal(leaf.RawIssuer, ca.RawSubject) {
			c.add(Fatal, "have it signed with SHA-256", "the %s's certificate %s is signed with %s, which is no longer accepted", c.role, certtext.Label(leaf), x509.SignatureAlgorithm(weak))
			return
		}
	}
	severity := Warning
	fix := "if both ends use one CA, use the certificate and CA from the same `tunnels certs init`"
	if allMadeHere(leaf, cas) {
		severity, fix = Fatal, "use the certificate and CA from the same `tunnels certs init`"
	}
	c.add(severity, fix, "the %s's certificate %s is signed by %s, and %s trusts %s", c.role, certtext.Label(leaf),
		certtext.Plain(leaf.Issuer.CommonName), c.cfg.names().CA, trusted(cas, leaf.Issuer.CommonName))
}

// chainsOf returns the chains from a certificate, through those sent with it, to one of
// the CAs. Only signatures count; dates are checked separately.
func chainsOf(cert *x509.Certificate, between, cas []*x509.Certificate) [][]*x509.Certificate {
	var chains [][]*x509.Certificate
	for _, ca := range cas {
		if signedBy(cert, ca) {
			chains = append(chains, []*x509.Certificate{cert, ca})
		}
	}
	for i, next := range between {
		if !signedBy(cert, next) {
			continue
		}
		others := slices.Concat(between[:i], between[i+1:])
		for _, chain := range chainsOf(next, others, cas) {
			chains = append(chains, append([]*x509.Certificate{cert}, chain...))
		}
	}
	return chains
}

func signedBy(cert, ca *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, ca.RawSubject) && cert.CheckSignatureFrom(ca) == nil
}

// sentWith returns the certificates sent after this end's own.
func sentWith(pair *ctls.Certificate) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil { // loadPair has already parsed it
			certs = append(certs, cert)
		}
	}
	return certs
}

// permissions warns if other users can read a key. On Windows, file modes do not show
// that.
func (c *checker) permissions() {
	if c.cfg.Material != nil || runtime.GOOS == "windows" {
		return
	}
	for _, file := range slices.Compact([]string{c.cfg.Key, c.cfg.Cert}) {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o077 == 0 || !holdsKey(file) {
			continue
		}
		c.add(Warning, "`chmod 600 "+file+"`", "the key in %s can be read by other users (its mode is %04o)", file, info.Mode().Perm())
	}
}

func holdsKey(file string) bool {
	data, err := pemfile.Read(file, pemfile.MaxSize)
	if err != nil {
		return false
	}
	b, err := pemfile.Parse(data)
	return err == nil && len(b.Keys) > 0
}
