package tls

import (
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// snapshot holds one end's certificate, key and CAs as of one point in time. It is
// immutable.
type snapshot struct {
	pair *ctls.Certificate // with its Leaf
	cas  []*x509.Certificate
	pool *x509.CertPool // of cas
	crls []crl.List
}

// judge verifies a peer's certificates as of the given time, the way the handshake
// does.
func (s *snapshot) judge(peer []*x509.Certificate, use x509.ExtKeyUsage, at time.Time) error {
	opts := x509.VerifyOptions{
		Roots:         s.pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{use},
	}
	for _, cert := range peer[1:] {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := peer[0].Verify(opts)
	if err != nil {
		return err
	}
	return crl.Check(s.crls, chains)
}

// source is the text for one Config field, and the name used for it in messages.
type source struct {
	name string // "certs/ca.pem (the CA file)"
	data []byte
}

// read returns the text for one field: "cert", "key" or "ca".
func (c Config) read(r Role, field string) (source, error) {
	name := c.names().file(field)
	if m := c.Material; m != nil {
		data := map[string][]byte{"cert": m.Cert, "key": m.Key, "ca": m.CA}[field]
		if field == "key" && len(data) == 0 {
			data = m.Cert
		}
		return source{"the " + field + " in memory", data}, nil
	}
	file := map[string]string{"cert": c.Cert, "key": c.Key, "ca": c.CA}[field]
	if field == "key" && file == "" {
		file = c.Cert
	}
	if file == "" {
		return source{}, c.emptyError(r, field)
	}
	data, err := pemfile.Read(file, pemfile.MaxSize)
	if err != nil {
		return source{}, fmt.Errorf("%s: %w", name, err)
	}
	return source{fmt.Sprintf("%s (%s)", file, name), data}, nil
}

// emptyError returns the error for a field that is not set.
func (c Config) emptyError(r Role, field string) error {
	names := c.names()
	name := names.file(field)
	switch {
	case field == "ca" && r == ServerRole:
		return fmt.Errorf("a server without a CA for its clients would be an open proxy: %s is not set; %s", name, fixInit)
	case field == "ca":
		return fmt.Errorf("a client without a CA cannot verify its server: %s is not set; %s", name, names.fixClient())
	case r == ServerRole:
		return fmt.Errorf("%s is not set: a server needs a certificate and its key; %s", name, fixInit)
	}
	return fmt.Errorf("%s is not set: the server requires client certificates; %s", name, names.fixClient())
}

// loadPair reads certificates and keys and finds a matching pair.
func loadPair(c Config, r Role) (*ctls.Certificate, error) {
	certs, err := c.read(r, "cert")
	if err != nil {
		return nil, err
	}
	keys, err := c.read(r, "key")
	if err != nil {
		return nil, err
	}
	cb, err := pemfile.Parse(certs.data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certs.name, err)
	}
	kb, err := pemfile.Parse(keys.data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keys.name, err)
	}
	switch {
	case len(cb.Certs) == 0 && len(cb.Keys) > 0 && len(kb.Certs) > 0:
		return nil, fmt.Errorf("%s holds a key and %s a certificate: are the two swapped?", certs.name, keys.name)
	case len(cb.Certs) == 0:
		return nil, fmt.Errorf("%s holds no certificate", certs.name)
	case len(kb.Keys) == 0:
		return nil, fmt.Errorf("%s holds no private key", keys.name)
	}
	pair := cb.Pair(kb.Keys)
	if pair == nil {
		return nil, fmt.Errorf("the key in %s does not belong to the certificate in %s; use a matching pair", keys.name, certs.name)
	}
	if err := usable(pair, r); err != nil {
		return nil, fmt.Errorf("%s: %w", certs.name, err)
	}
	return pair, nil
}

// loadCAs reads the CAs that may sign the other end's certificates.
func loadCAs(c Config, r Role) ([]*x509.Certificate, error) {
	src, err := c.read(r, "ca")
	if err != nil {
		return nil, err
	}
	return pemfile.ParseCAs(src.name, src.data, c.crlFiles())
}

func poolOf(cas []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	return pool
}

// crlFiles returns the files that may hold the revocation list of a CA file. The second
// path is for a CA file that is a bundle (client.pem) next to a ca.crl.
func (c Config) crlFiles() []string {
	if c.Material != nil || c.CA == "" {
		return nil
	}
	own := strings.TrimSuffix(c.CA, filepath.Ext(c.CA)) + ".crl"
	shared := filepath.Join(filepath.Dir(c.CA), crl.File)
	if own == c.CA || own == shared {
		return []string{shared}
	}
	return []string{own, shared}
}

// loadCRLs reads the revocation lists next to the CA file. found lists the files that
// exist, and failed those that could not be read; err says why. Lists are still read
// from one file if the other is unreadable. In ca.crl, lists signed by a foreign CA are
// ignored if the CA file could also have a NAME.crl.
func loadCRLs(c Config, cas []*x509.Certificate) (lists []crl.List, found, failed []string, err error) {
	var errs []error
	for i, file := range c.crlFiles() {
		data, err := pemfile.Read(file, crl.MaxSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = append(found, file)
		if err != nil {
			failed, errs = append(failed, file), append(errs, fmt.Errorf("revocation list: %w", err))
			continue
		}
		more, err := crl.Parse(data, cas)
		if i > 0 && errors.Is(err, crl.ErrForeign) {
			err = nil
		}
		if err != nil {
			failed, errs = append(failed, file), append(errs, fmt.Errorf("revocation list %s: %w", file, err))
		}
		for _, list := range more {
			list.File = file
			lists = append(lists, list)
		}
	}
	if len(found) == 0 && len(c.crlFiles()) > 0 {
		errs = append(errs, crl.Missing(filepath.Dir(c.CA)))
	}
	return lists, found, failed, errors.Join(errs...)
}
