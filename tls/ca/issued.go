package ca

import (
	"bufio"
	"bytes"
	"fmt"
	"math/big"
	"strings"
	"time"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/certtext"
)

// Issued is one certificate issued by the CA.
type Issued struct {
	Serial    string         // in hex
	Role      authority.Role // tls.ServerRole or tls.ClientRole
	Names     []string       // a client's name, or a server's host names and addresses
	File      string         // file it was written to, inside the CA's folder
	NotBefore time.Time      // UTC
	NotAfter  time.Time      // UTC
	Revoked   time.Time      // zero if it is not revoked
}

// Name returns the name that `tunnels certs list` prints and `tunnels certs revoke`
// accepts.
func (i Issued) Name() string { return i.Names[0] }

const issuedHeader = "# Certificates of this CA: serial, role, valid from, valid to, file, names\n"

// line returns the certificate's line for the file `issued`. No field contains spaces.
func (i Issued) line() string {
	return fmt.Sprintf("%s %s %s %s %s %s\n", i.Serial, i.Role, i.NotBefore.UTC().Format(time.RFC3339),
		i.NotAfter.UTC().Format(time.RFC3339), i.File, strings.Join(i.Names, ","))
}

func issuedOf(l authority.Leaf, role authority.Role, names []string, file string) Issued {
	return Issued{
		Serial:    certtext.Serial(l.Cert.SerialNumber),
		Role:      role,
		Names:     names,
		File:      file,
		NotBefore: l.Cert.NotBefore,
		NotAfter:  l.Cert.NotAfter,
	}
}

// parseIssued reads the file `issued`. Empty lines and lines that begin with # are
// skipped. Any other line it cannot parse is an error, because a certificate missing
// from the list could not be revoked.
func parseIssued(data []byte) ([]Issued, error) {
	var all []Issued
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		one, err := parseIssuedLine(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, one)
	}
	return all, lines.Err()
}

func parseIssuedLine(fields []string) (Issued, error) {
	if len(fields) != 6 {
		return Issued{}, fmt.Errorf("%d fields, want 6: serial, role, two dates, file, names", len(fields))
	}
	serial, ok := parseSerial(fields[0])
	if !ok {
		return Issued{}, fmt.Errorf("serial %.80q: want a number in hex", fields[0])
	}
	one := Issued{Serial: serial, Role: authority.Role(fields[1]), File: fields[4], Names: strings.Split(fields[5], ",")}
	if one.Role != authority.ServerRole && one.Role != authority.ClientRole {
		return Issued{}, fmt.Errorf("role %.80q: want server or client", fields[1])
	}
	for i, at := range []*time.Time{&one.NotBefore, &one.NotAfter} {
		t, err := time.Parse(time.RFC3339, fields[2+i])
		if year := t.UTC().Year(); err != nil || year < 1970 || year > 9999 {
			return Issued{}, fmt.Errorf("date %.80q: want the format 2006-01-02T15:04:05Z", fields[2+i])
		}
		*at = t.UTC()
	}
	for _, name := range one.Names {
		if one.Role == authority.ServerRole {
			if _, err := authority.HostName(name); err != nil {
				return Issued{}, err
			}
		} else if err := authority.CheckClientName(name); err != nil {
			return Issued{}, err
		}
	}
	return one, nil
}

// parseSerial parses a serial number as written by this package and openssl: hex in
// either case, with or without colons.
func parseSerial(s string) (string, bool) {
	const most = 64
	s = strings.ReplaceAll(s, ":", "")
	if s == "" || len(s) > most || strings.Trim(strings.ToLower(s), "0123456789abcdef") != "" {
		return "", false
	}
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		return "", false
	}
	return certtext.Serial(n), true
}
