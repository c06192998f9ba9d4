package pemfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	ctls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Bundle holds the keys and certificates in a PEM text, in their original order.
type Bundle struct {
	Keys  []crypto.Signer
	Certs []*x509.Certificate
	Lists int // revocation lists, which are not read from bundles
}

// Parse reads all keys and certificates in a PEM text; if one is damaged, it returns an
// error. Text between the blocks and blocks of other types are skipped.
func Parse(data []byte) (Bundle, error) {
	var b Bundle
	blocks, err := Blocks(data)
	if err != nil {
		return Bundle{}, err
	}
	for i, block := range blocks {
		if err := b.add(block); err != nil {
			return Bundle{}, fmt.Errorf("%s: %w", BlockName(blocks, i), err)
		}
	}
	if len(b.Keys) == 0 && len(b.Certs) == 0 {
		return Bundle{}, NotPEM(data, blocks, "certificate and no key")
	}
	return b, nil
}

func (b *Bundle) add(block *pem.Block) error {
	switch {
	case block.Type == TypeCert || block.Type == "X509 CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("it is damaged, or not a supported certificate: %w", err)
		}
		b.Certs = append(b.Certs, cert)
	case block.Type == typeTrusted:
		return errors.New("this format is specific to openssl; convert it with `openssl x509 -in OLD -out NEW`")
	case block.Type == "PKCS7" || block.Type == "CMS":
		return errors.New("convert it with `openssl pkcs7 -print_certs -in OLD -out NEW`")
	case block.Type == TypeCRL:
		b.Lists++
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return errors.New("the key is encrypted; remove its passphrase with `openssl pkey -in OLD -out NEW`")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		key, err := parseKey(block)
		if err != nil {
			return err
		}
		b.Keys = append(b.Keys, key)
	}
	return nil
}

// parseKey reads PKCS #8 (RFC 5958), SEC 1 (RFC 5915) and PKCS #1 (RFC 8017).
func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		err = errors.New("unknown key format")
	}
	if err != nil {
		return nil, fmt.Errorf("it is damaged, or not a supported key: %w", err)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	case *rsa.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("unsupported key type %T; want ECDSA, Ed25519 or RSA", key)
}

// Pair finds the first certificate that matches one of the keys. Its chain holds the
// other certificates in the text except self-signed ones, which the other end either
// already has or does not trust. It returns nil if no key matches.
func (b Bundle) Pair(keys []crypto.Signer) *ctls.Certificate {
	for _, cert := range b.Certs {
		for _, key := range keys {
			if !sameKey(cert.PublicKey, key.Public()) {
				continue
			}
			p := &ctls.Certificate{PrivateKey: key, Leaf: cert, Certificate: [][]byte{cert.Raw}}
			for _, other := range b.Certs {
				if other != cert && !bytes.Equal(other.RawIssuer, other.RawSubject) {
					p.Certificate = append(p.Certificate, other.Raw)
				}
			}
			return p
		}
	}
	return nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// CAs returns the CA certificates in the text.
func (b Bundle) CAs() []*x509.Certificate {
	var cas []*x509.Certificate
	for _, cert := range b.Certs {
		if cert.IsCA && cert.BasicConstraintsValid {
			cas = append(cas, cert)
		}
	}
	return cas
}
