// Package certtext formats the names, serial numbers and dates of certificates for
// messages and files.
package certtext

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Name returns the name of a certificate's holder: its first DNS name, else its common
// name, else its first address, else its serial number.
func Name(cert *x509.Certificate) string {
	switch {
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	}
	return "serial " + Serial(cert.SerialNumber)
}

// Label returns Name made safe to print, because an unverified certificate can contain
// any name.
func Label(cert *x509.Certificate) string { return Plain(Name(cert)) }

// Plain returns s shortened to 80 bytes, and quoted unless all of it is printable
// ASCII.
func Plain(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	for _, r := range s {
		if r < ' ' || r > '~' || r == '"' {
			return strconv.Quote(s)
		}
	}
	return s
}

// Day formats a time to the minute, in UTC.
func Day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Covers lists the names a server certificate is valid for.
func Covers(cert *x509.Certificate) string {
	var names []string
	for _, n := range cert.DNSNames {
		if !IsAddress(n) {
			names = append(names, Plain(n))
		}
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return ShortList(names)
}

// OutOfDate describes why a certificate is not valid at a time, or returns "" if it is.
func OutOfDate(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(cert.NotBefore):
		return "is not valid before " + Day(cert.NotBefore)
	case now.After(cert.NotAfter):
		return "expired on " + Day(cert.NotAfter)
	}
	return ""
}

// IsAddress reports whether a name is an IP address, which never matches anything as a
// DNS name in a certificate.
func IsAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// ShortList joins the first eight names with commas and adds a count of the rest.
func ShortList(names []string) string {
	const most = 8
	if len(names) > most {
		names = append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// Serial returns a serial number in hex, as shown in messages and files.
func Serial(n *big.Int) string { return n.Text(16) }
