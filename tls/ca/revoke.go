package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// List returns the certificates issued by the CA in dir, oldest first.
func List(dir string) ([]Issued, error) {
	ca, err := readCA(dir)
	if err != nil {
		return nil, err
	}
	all, err := readIssued(dir)
	if err != nil {
		return nil, err
	}
	if err := crl.Missing(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, crlFile)
	data, err := pemfile.Read(path, crl.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the revocation list: %w", err)
	}
	old, err := parseOwnCRL(data, ca)
	if err != nil {
		return nil, fmt.Errorf("revocation list %s: %w", path, err)
	}
	markRevoked(all, old.RevokedCertificateEntries)
	return all, nil
}

// readCA reads only the CA's certificate, because listing needs no key.
func readCA(dir string) (*x509.Certificate, error) {
	const called = "the CA file"
	path := filepath.Join(dir, caFile)
	data, err := pemfile.Read(path, pemfile.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no CA in %s: %s is missing; name the CA's folder with -dir, or create one with `tunnels certs init NAME…`", dir, caFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", called, err)
	}
	cas, err := pemfile.ParseCAs(fmt.Sprintf("%s (%s)", path, called), data, []string{filepath.Join(dir, crlFile)})
	if err != nil {
		return nil, err
	}
	return cas[0], nil
}

func readIssued(dir string) ([]Issued, error) {
	path := filepath.Join(dir, issuedFile)
	data, err := pemfile.Read(path, crl.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of certificates: %w", err)
	}
	all, err := parseIssued(data)
	if err != nil {
		return nil, fmt.Errorf("list of certificates %s: %w", path, err)
	}
	return all, nil
}

func appendIssued(dir string, one Issued) error {
	err := replaceLocked(filepath.Join(dir, issuedFile), caFile, func(old []byte) ([]byte, error) {
		if old == nil {
			old = []byte(issuedHeader)
		}
		return append(old, one.line()...), nil
	})
	if err != nil {
		return fmt.Errorf("record the certificate for %s: %w", one.Name(), err)
	}
	return nil
}

func markRevoked(all []Issued, entries []x509.RevocationListEntry) {
	since := map[string]time.Time{}
	for _, e := range entries {
		since[certtext.Serial(e.SerialNumber)] = e.RevocationTime
	}
	for i := range all {
		all[i].Revoked = since[all[i].Serial]
	}
}

// Revoke uses the CA in dir to revoke the certificate with the given serial number, or
// all unexpired certificates for a name, and returns them. A server that uses the
// ca.crl next to its CA file applies the change within seconds, to open conns too.
func Revoke(dir, nameOrSerial string) ([]Issued, error) {
	ca, err := openAuthority(dir)
	if err != nil {
		return nil, err
	}
	all, err := readIssued(dir)
	if err != nil {
		return nil, err
	}
	if err := crl.Missing(dir); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	var chosen []Issued
	err = replaceLocked(filepath.Join(dir, crlFile), caFile, func(data []byte) ([]byte, error) {
		old := &x509.RevocationList{}
		if data != nil {
			var err error
			if old, err = parseOwnCRL(data, ca.Cert); err != nil {
				return nil, err
			}
		}
		markRevoked(all, old.RevokedCertificateEntries)
		some, err := choose(all, nameOrSerial, now)
		if err != nil {
			return nil, err
		}
		chosen = some
		entries := old.RevokedCertificateEntries
		for i := range chosen {
			chosen[i].Revoked = now
			serial, _ := new(big.Int).SetString(chosen[i].Serial, 16) // cannot fail: parseIssued has validated it
			entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now})
		}
		return ca.Revocations(crlNumber(old.Number), entries, now)
	})
	if err != nil {
		return nil, fmt.Errorf("revoke %.80q: %w", nameOrSerial, err)
	}
	return chosen, nil
}

// NewCRL creates an empty revocation list for the CA in dir, to replace a lost one. It
// never overwrites. Its number is higher than any earlier list's, so that later
// revocations take effect.
func NewCRL(dir string) (string, error) {
	ca, err := openAuthority(dir)
	if err != nil {
		return "", err
	}
	now := time.Now()
	path := filepath.Join(dir, crlFile)
	err = replaceLocked(path, caFile, func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, errors.New("it exists")
		}
		return ca.Revocations(big.NewInt(now.Unix()), nil, now)
	})
	if err != nil {
		return "", fmt.Errorf("create an empty revocation list %s: %w", path, err)
	}
	return path, nil
}

// crlNumber returns the number that follows old, or the first number if old is nil.
// Numbers only increase (RFC 5280 section 5.2.3).
func crlNumber(old *big.Int) *big.Int {
	if old == nil {
		return big.NewInt(1)
	}
	return new(big.Int).Add(old, big.NewInt(1))
}

// parseOwnCRL parses the single revocation list in a CA's folder.
func parseOwnCRL(data []byte, ca *x509.Certificate) (*x509.RevocationList, error) {
	blocks, err := pemfile.Blocks(data)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 || blocks[0].Type != pemfile.TypeCRL {
		return nil, pemfile.NotPEM(data, blocks, "single revocation list")
	}
	list, err := x509.ParseRevocationList(blocks[0].Bytes)
	if err != nil {
		return nil, err
	}
	if err := list.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("not signed by this CA: %w", err)
	}
	return list, nil
}

// choose returns the certificates to revoke.
func choose(all []Issued, nameOrSerial string, now time.Time) ([]Issued, error) {
	named := pick(all, func(i Issued) bool { return slices.Contains(i.Names, nameOrSerial) })
	if serial, ok := parseSerial(nameOrSerial); ok && len(named) == 0 {
		named = pick(all, func(i Issued) bool { return i.Serial == serial })
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("no such name or serial number; this CA has issued %s", known(all))
	}
	valid := pick(named, func(i Issued) bool { return now.Before(i.NotAfter) })
	if len(valid) == 0 {
		return nil, fmt.Errorf("nothing to revoke: it expired on %s", certtext.Day(named[len(named)-1].NotAfter))
	}
	open := pick(valid, func(i Issued) bool { return i.Revoked.IsZero() })
	if len(open) == 0 {
		return nil, fmt.Errorf("it was revoked on %s", certtext.Day(valid[len(valid)-1].Revoked))
	}
	return open, nil
}

func pick(all []Issued, keep func(Issued) bool) []Issued {
	var some []Issued
	for _, i := range all {
		if keep(i) {
			some = append(some, i)
		}
	}
	return some
}

// known lists the names in a CA's certificates, without duplicates.
func known(all []Issued) string {
	var names []string
	for _, i := range all {
		if !slices.Contains(names, i.Name()) {
			names = append(names, i.Name())
		}
	}
	const most = 30
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
