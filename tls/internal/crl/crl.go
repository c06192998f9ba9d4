package crl

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/pemfile"
)

// MaxSize limits the size of a file with revocation lists.
const MaxSize = 16 << 20 // about 300 000 certificates

// ErrForeign is returned for a revocation list that none of the CAs signed.
var ErrForeign = errors.New("signed by none of the CAs in use")

// List is one revocation list (RFC 5280 section 5) with a verified signature.
type List struct {
	File   string   // file it was read from; set by the caller of Parse
	Signer []byte   // public key of the CA that signed it
	Number *big.Int // nil if it has none; only increases
	Made   time.Time
	Due    time.Time
	Since  map[string]time.Time // times of revocation, by serial number in hex
}

// Replaces reports whether l is the same list as old or its successor: signed by the
// same CA and no older.
func (l List) Replaces(old List) bool {
	return bytes.Equal(l.Signer, old.Signer) && (!l.Made.Before(old.Made) || l.Number != nil && old.Number != nil && l.Number.Cmp(old.Number) >= 0)
}

// Same reports whether two lists were read from the same file with the same content.
func Same(a, b List) bool {
	return a.File == b.File && a.Made.Equal(b.Made) && slices.Equal(a.Signer, b.Signer) && maps.EqualFunc(a.Since, b.Since, time.Time.Equal)
}

// Parse reads all revocation lists in a PEM text and verifies that each was signed by
// one of the CAs. A damaged list is an error, because it may hold the revocation that
// matters. If all lists can be read but some are signed by none of the CAs, it returns
// ErrForeign together with the other lists.
func Parse(data []byte, cas []*x509.Certificate) ([]List, error) {
	blocks, err := pemfile.Blocks(data)
	if err != nil {
		return nil, err
	}
	var lists []List
	var foreign error
	for i, block := range blocks {
		if block.Type != pemfile.TypeCRL {
			continue
		}
		raw, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pemfile.BlockName(blocks, i), err)
		}
		list, err := verify(raw, cas)
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

func verify(raw *x509.RevocationList, cas []*x509.Certificate) (List, error) {
	for _, ca := range cas {
		if raw.CheckSignatureFrom(ca) != nil {
			continue
		}
		list := List{
			Signer: ca.RawSubjectPublicKeyInfo,
			Number: raw.Number,
			Made:   raw.ThisUpdate,
			Due:    raw.NextUpdate,
			Since:  make(map[string]time.Time, len(raw.RevokedCertificateEntries)),
		}
		for _, e := range raw.RevokedCertificateEntries {
			list.Since[certtext.Serial(e.SerialNumber)] = e.RevocationTime
		}
		return list, nil
	}
	return List{}, ErrForeign
}

// RevokedError is returned for a certificate that is on a revocation list.
type RevokedError struct {
	Cert  *x509.Certificate
	Since time.Time
}

// Error implements error.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate of %s was revoked on %s", certtext.Label(e.Cert), certtext.Day(e.Since))
}

// Check returns an error if every chain contains a revoked certificate. Chains go from
// the leaf to the CA. A list applies to certificates issued by its signer. The signer
// is identified by its key, so a list still applies after its CA's certificate is
// renewed.
func Check(lists []List, chains [][]*x509.Certificate) error {
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

func chainRevoked(lists []List, chain []*x509.Certificate) error {
	for i := range len(chain) - 1 {
		cert, issuer := chain[i], chain[i+1]
		for _, list := range lists {
			if !bytes.Equal(list.Signer, issuer.RawSubjectPublicKeyInfo) {
				continue
			}
			if since, ok := list.Since[certtext.Serial(cert.SerialNumber)]; ok {
				return &RevokedError{cert, since}
			}
		}
	}
	return nil
}
