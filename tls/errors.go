package tls

import (
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
)

// Instructions for fixing a problem, as shown to users.
const (
	fixInit  = "`tunnels certs init NAME…` creates a CA and certificates for a server and a client (NAME is what clients connect to)"
	fixDates = "check the clocks of both machines"
)

// CertificateError is returned when one end refused the other's certificate.
type CertificateError struct {
	Reason string // which certificate, and why, in one line
	Fix    string // command or setting that fixes it; may be empty
	Err    error  // the error from crypto/tls
}

func (e *CertificateError) Error() string {
	if e.Fix == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Fix
}

func (e *CertificateError) Unwrap() error { return e.Err }

// ErrSilent is passed to Hooks.Rejected for a client that connected and sent nothing,
// as load balancer probes do.
var ErrSilent = errors.New("client sent nothing")

// unheard wraps an error so that it matches ErrSilent.
type unheard struct{ error }

func (u unheard) Is(target error) bool { return target == ErrSilent }
func (u unheard) Unwrap() error        { return u.error }

// ErrDismissed is wrapped by the error of an open server conn whose client is no longer
// accepted, because it was revoked or its CA is no longer trusted.
var ErrDismissed = errors.New("client is no longer accepted")

// errExpired is wrapped by the errors of Conn.Barred.
var errExpired = errors.New("certificate has expired")

// issuerOf returns the name of the untrusted CA: the last issuer found.
func issuerOf(err error, leaf *x509.Certificate) string {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && e.Cert != nil && e.Cert.Issuer.CommonName != "" {
		return e.Cert.Issuer.CommonName
	}
	return leaf.Issuer.CommonName
}

// verdict explains why this end did not accept a certificate. It returns "" if err is
// not about a certificate.
func verdict(err error, leaf *x509.Certificate, want Role, names Names, now time.Time) (reason, fix string) {
	who := "certificate of " + certtext.Label(leaf)
	if e, ok := errors.AsType[*crl.RevokedError](err); ok {
		return e.Error(), ""
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("%s is signed by an unknown CA (%s)", who, certtext.Plain(issuerOf(err, leaf))), ""
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return wrongName(leaf, e.Host, names)
	}
	e, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case !ok:
		return fmt.Sprintf("%s is not accepted: %v", who, err), ""
	case e.Reason == x509.IncompatibleUsage:
		fix := ""
		if want == ServerRole {
			fix = "the server was started with the wrong file: " + fixServerFile
		}
		return fmt.Sprintf("%s is not a %s's certificate", who, want), fix
	case e.Reason != x509.Expired:
		return fmt.Sprintf("%s is not accepted: %v", who, e), ""
	}
	if e.Cert != nil && !e.Cert.Equal(leaf) {
		who = fmt.Sprintf("CA %s, which signed the %s,", certtext.Label(e.Cert), who)
		leaf = e.Cert
	}
	if text := certtext.OutOfDate(leaf, now); text != "" {
		return who + " " + text, fixDates
	}
	return fmt.Sprintf("%s is not accepted: %v", who, e), ""
}

// The alerts (RFC 8446 section 6.2) that an end sends to refuse a certificate, and one
// with a different cause.
const (
	alertBadCertificate      ctls.AlertError = 42
	alertRevoked             ctls.AlertError = 44
	alertExpired             ctls.AlertError = 45
	alertUnknownCA           ctls.AlertError = 48
	alertAccessDenied        ctls.AlertError = 49
	alertCertificateRequired ctls.AlertError = 116
	alertNoProtocol          ctls.AlertError = 120 // RFC 7301: no protocol in common
)

// remoteAlert finds the alert with which the peer refused this end's certificate.
// crypto/tls does not export the type of received alerts, but it does export their
// texts.
func remoteAlert(err error) (ctls.AlertError, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return 0, false
	}
	for _, a := range []ctls.AlertError{alertBadCertificate, alertRevoked, alertExpired,
		alertUnknownCA, alertAccessDenied, alertCertificateRequired} {
		if op.Err.Error() == a.Error() {
			return a, true
		}
	}
	return 0, false
}

// refusedByServer explains an alert from the server. The alert itself says little
// (crypto/tls sends "bad certificate" for several reasons), so this end's own
// certificate is examined too.
func refusedByServer(a ctls.AlertError, err error, own *x509.Certificate, names Names, now time.Time) *CertificateError {
	who := fmt.Sprintf("the server refused this client's certificate (%s)", certtext.Label(own))
	e := &CertificateError{Fix: names.fixClient(), Err: err}
	dates := certtext.OutOfDate(own, now)
	switch {
	case a == alertCertificateRequired:
		e.Reason = "the server refused this client: it showed no certificate"
	case a == alertUnknownCA:
		e.Reason = fmt.Sprintf("%s: the CA that signed it (%s) is unknown to the server", who, certtext.Plain(own.Issuer.CommonName))
	case dates != "":
		e.Reason = who + ": it " + dates
	case a == alertExpired:
		e.Reason = fmt.Sprintf("%s: the server's clock is outside its validity period (%s to %s)", who, certtext.Day(own.NotBefore), certtext.Day(own.NotAfter))
		e.Fix = fixDates
	case !hasUse(own, x509.ExtKeyUsageClientAuth):
		e.Reason = who + ": it is not a client's certificate"
	default: // bad certificate, revoked, access denied
		e.Reason = who + ": it is revoked"
	}
	return e
}

// refusedByClient explains an alert from a client. Go clients send "bad certificate"
// for any reason, so this end's own certificate is examined too.
func refusedByClient(err error, own *x509.Certificate, name string, now time.Time) *CertificateError {
	e := &CertificateError{Err: err}
	who := fmt.Sprintf("the client refused this server's certificate (%s)", certtext.Label(own))
	switch dates := certtext.OutOfDate(own, now); {
	case dates != "":
		e.Reason = who + ": it " + dates
	case !hasUse(own, x509.ExtKeyUsageServerAuth):
		e.Reason = who + ": it is not a server's certificate"
	case name != "" && own.VerifyHostname(name) != nil:
		reason, _ := wrongName(own, name, Names{})
		e.Reason = who + ": " + strings.Replace(reason, "certificate of "+certtext.Label(own), "it", 1)
	default:
		e.Reason = who + ": unknown CA, wrong name or revoked; the client's log has the reason"
	}
	return e
}

// hasUse reports whether a certificate permits a use. No extended key usage means any
// (RFC 5280 section 4.2.1.12).
func hasUse(cert *x509.Certificate, use x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range cert.ExtKeyUsage {
		if u == use || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// endedEarly returns an error for a handshake that the other end abandoned, or nil if
// err is something else.
func endedEarly(err error, peer Role, limit time.Duration) error {
	_, noTLS := errors.AsType[ctls.RecordHeaderError](err)
	switch {
	case noTLS:
		return fmt.Errorf("the %s does not speak TLS: %w", peer, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the %s did not finish its TLS handshake within %v", peer, limit)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s closed the connection in the middle of the TLS handshake: %w", peer, err)
	}
	return nil
}
