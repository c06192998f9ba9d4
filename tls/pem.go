package tls

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

// A PEM file is read whole, so its size is bounded; a system's whole list of
// CAs, the largest that makes sense here, has about 150 blocks in 250 KiB.
const (
	maxPEM    = 4 << 20
	maxBlocks = 1000
)

// bundle is what a PEM text holds that is of use here, in the text's order.
type bundle struct {
	keys  []crypto.Signer
	certs []*x509.Certificate
}

// parseBundle reads all keys and certificates of a PEM text. Blocks of other
// types and text between blocks are skipped.
func parseBundle(data []byte) (bundle, error) {
	var b bundle
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if n > maxBlocks {
			return bundle{}, fmt.Errorf("more than %d PEM blocks", maxBlocks)
		}
		if err := b.add(block); err != nil {
			return bundle{}, fmt.Errorf("PEM block %d (%.40q): %w", n, block.Type, err)
		}
		data = rest
	}
	if len(b.keys) == 0 && len(b.certs) == 0 {
		return bundle{}, errors.New("no certificate and no key in PEM form")
	}
	return b, nil
}

func (b *bundle) add(block *pem.Block) error {
	switch {
	case block.Type == "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		b.certs = append(b.certs, cert)
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return errors.New("the key is encrypted; take its passphrase away with `openssl pkey -in OLD -out NEW`")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		key, err := parseKey(block)
		if err != nil {
			return err
		}
		b.keys = append(b.keys, key)
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
		err = errors.New("unknown form of key")
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	case *rsa.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("key of type %T; ECDSA, Ed25519 and RSA can be used", key)
}

// pair finds the first certificate that belongs to one of the keys; the chain it
// sends holds the text's other certificates but the self-signed ones, which the
// other end either has or does not trust. Nil if no key fits.
func (b bundle) pair(keys []crypto.Signer) *ctls.Certificate {
	for _, cert := range b.certs {
		for _, key := range keys {
			if !sameKey(cert.PublicKey, key.Public()) {
				continue
			}
			p := &ctls.Certificate{PrivateKey: key, Leaf: cert, Certificate: [][]byte{cert.Raw}}
			for _, other := range b.certs {
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

// cas are the CA certificates of the text.
func (b bundle) cas() []*x509.Certificate {
	var cas []*x509.Certificate
	for _, cert := range b.certs {
		if cert.IsCA && cert.BasicConstraintsValid {
			cas = append(cas, cert)
		}
	}
	return cas
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
