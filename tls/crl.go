package tls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/pemfile"
)

const maxCRL = 16 << 20 // a list of 300 000 certificates

// errForeignCRL means that none of the CAs signed a revocation list.
var errForeignCRL = errors.New("signed by none of the CAs in use")

// crl is one revocation list (RFC 5280 section 5) with a verified signature.
type crl struct {
	file   string   // file it was read from
	signer []byte   // public key of the CA that signed it
	number *big.Int // nil if it has none; only increases
	made   time.Time
	due    time.Time
	since  map[string]time.Time // time of revocation by serial number in hex
}

// replaces reports whether l is the same list as old or its successor: signed by the
// same CA and no older.
func (l crl) replaces(old crl) bool {
	return bytes.Equal(l.signer, old.signer) && (!l.made.Before(old.made) || l.number != nil && old.number != nil && l.number.Cmp(old.number) >= 0)
}

// parseCRLs reads all revocation lists of a PEM text and verifies that one of the CAs
// signed each. A damaged list is an error: it may hold the revocation that matters. If
// all lists can be read but some are signed by none of the CAs, it returns
// errForeignCRL together with the other lists.
func parseCRLs(data []byte, cas []*x509.Certificate) ([]crl, error) {
	blocks, err := pemfile.Blocks(data)
	if err != nil {
		return nil, err
	}
	var lists []crl
	var foreign error
	for i, block := range blocks {
		if block.Type != pemfile.TypeCRL {
			continue
		}
		raw, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pemfile.BlockName(blocks, i), err)
		}
		list, err := verifyCRL(raw, cas)
		if err != nil {
			foreign = fmt.Errorf("%s: %w", pemfile.BlockName(blocks, i), err)
			continue
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 && foreign == nil {
		return nil, pemfile.NotPEM(data, blocks, "revocation list")
	}
	return lists, foreign
}

func verifyCRL(raw *x509.RevocationList, cas []*x509.Certificate) (crl, error) {
	for _, ca := range cas {
		if raw.CheckSignatureFrom(ca) != nil {
			continue
		}
		list := crl{
			signer: ca.RawSubjectPublicKeyInfo,
			number: raw.Number,
			made:   raw.ThisUpdate,
			due:    raw.NextUpdate,
			since:  make(map[string]time.Time, len(raw.RevokedCertificateEntries)),
		}
		for _, e := range raw.RevokedCertificateEntries {
			list.since[certtext.Serial(e.SerialNumber)] = e.RevocationTime
		}
		return list, nil
	}
	return crl{}, errForeignCRL
}

// revokedError means that a certificate is on a revocation list.
type revokedError struct {
	cert  *x509.Certificate
	since time.Time
}

func (e *revokedError) Error() string {
	return fmt.Sprintf("certificate of %s is revoked since %s", certtext.Label(e.cert), certtext.Day(e.since))
}

// checkRevoked refuses chains if each of them holds a revoked certificate. Chains go
// from the leaf to the CA. A list applies to certificates issued by its signer. The
// signer is identified by its key, so a renewed CA certificate keeps its list.
func checkRevoked(lists []crl, chains [][]*x509.Certificate) error {
	var refused error
	for _, chain := range chains {
		err := chainRevoked(lists, chain)
		if err == nil {
			return nil
		}
		refused = err
	}
	return refused
}

func chainRevoked(lists []crl, chain []*x509.Certificate) error {
	for i := range len(chain) - 1 {
		cert, issuer := chain[i], chain[i+1]
		for _, list := range lists {
			if !bytes.Equal(list.signer, issuer.RawSubjectPublicKeyInfo) {
				continue
			}
			if since, ok := list.since[certtext.Serial(cert.SerialNumber)]; ok {
				return &revokedError{cert, since}
			}
		}
	}
	return nil
}
