package ca

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// The files in a CA's folder.
const (
	caFile     = "ca.pem"
	caKeyFile  = "ca.key"
	crlFile    = crl.File
	serverFile = "server.pem"
	serverKey  = "server.key"
	issuedFile = crl.IssuedFile
)

const (
	private = 0o600 // files that hold a key
	public  = 0o644
)

// NameError explains why a name is not valid in a certificate, and what a valid one looks
// like.
type NameError = authority.NameError

// Report lists what Init or IssueClient created.
type Report struct {
	Files  []string // files written, with their folder
	Issued []Issued // certificates issued
}

// Init creates, in the folder dir, a CA, a server certificate for all of names (the
// host names and addresses clients connect to) and a first client certificate: ca.pem,
// ca.key, ca.crl, server.pem, server.key, and client.pem, which holds key, certificate
// and CA.
//
// It never overwrites: if one of the files exists, nothing is written. To renew a
// server certificate, move server.pem and server.key away. In a folder with a CA but
// neither of these files, Init creates both, signed by that CA.
func Init(dir string, names []string) (*Report, error) {
	names, err := authority.HostNames(names)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the CA's folder: %w", err)
	}
	if exists(dir, caFile) && exists(dir, caKeyFile) && !exists(dir, serverFile) && !exists(dir, serverKey) {
		return renewServer(dir, names)
	}
	var there []string
	for _, f := range []string{caFile, caKeyFile, crlFile, issuedFile, serverFile, serverKey, authority.FirstClient + ".pem"} {
		if exists(dir, f) {
			there = append(there, f)
		}
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("nothing written: %s exists in %s; choose another folder with -dir, or move server.pem and server.key away to get new ones from the same CA", strings.Join(there, ", "), dir)
	}
	return newFolder(dir, names)
}

func exists(dir, file string) bool {
	_, err := os.Lstat(filepath.Join(dir, file))
	return !errors.Is(err, fs.ErrNotExist)
}

func newFolder(dir string, names []string) (*Report, error) {
	now := time.Now()
	ca, err := authority.New(now)
	if err != nil {
		return nil, err
	}
	caKey, err := authority.KeyPEM(ca.Key)
	if err != nil {
		return nil, err
	}
	crlText, err := ca.Revocations(crlNumber(nil), nil, now)
	if err != nil {
		return nil, err
	}
	server, serverTexts, err := makeServer(ca, names, now)
	if err != nil {
		return nil, err
	}
	client, clientText, err := makeClient(ca, authority.FirstClient, now)
	if err != nil {
		return nil, err
	}
	issued := issuedHeader + server.line() + client.line()
	files := append([]newFile{
		{caKeyFile, private, caKey},
		{caFile, public, ca.CertPEM()},
		{crlFile, public, crlText},
		{issuedFile, public, []byte(issued)},
	}, serverTexts...)
	files = append(files, clientText)
	return report(dir, files, server, client)
}

func renewServer(dir string, names []string) (*Report, error) {
	ca, err := openAuthority(dir)
	if err != nil {
		return nil, err
	}
	one, files, err := makeServer(ca, names, time.Now())
	if err != nil {
		return nil, err
	}
	if err := appendIssued(dir, one); err != nil {
		return nil, err
	}
	return report(dir, files, one)
}

// IssueClient uses the CA in dir to issue another client certificate and writes
// NAME.pem, which holds key, certificate and CA. It never overwrites.
func IssueClient(dir, name string) (*Report, error) {
	if err := authority.CheckClientName(name); err != nil {
		return nil, err
	}
	if file := name + ".pem"; exists(dir, file) {
		return nil, fmt.Errorf("%s exists; move it away to issue a new certificate; if the old one must stop working, run `tunnels certs revoke %s` first", filepath.Join(dir, file), name)
	}
	ca, err := openAuthority(dir)
	if err != nil {
		return nil, err
	}
	one, file, err := makeClient(ca, name, time.Now())
	if err != nil {
		return nil, err
	}
	if err := appendIssued(dir, one); err != nil {
		return nil, err
	}
	return report(dir, []newFile{file}, one)
}

func makeServer(ca *authority.CA, names []string, now time.Time) (Issued, []newFile, error) {
	l, err := ca.IssueNow(authority.ServerRole, names, now)
	if err != nil {
		return Issued{}, nil, err
	}
	key, err := l.KeyPEM()
	if err != nil {
		return Issued{}, nil, err
	}
	return issuedOf(l, authority.ServerRole, names, serverFile),
		[]newFile{{serverKey, private, key}, {serverFile, public, l.CertPEM()}}, nil
}

func makeClient(ca *authority.CA, name string, now time.Time) (Issued, newFile, error) {
	l, err := ca.IssueNow(authority.ClientRole, []string{name}, now)
	if err != nil {
		return Issued{}, newFile{}, err
	}
	text, err := l.BundlePEM(ca)
	if err != nil {
		return Issued{}, newFile{}, err
	}
	file := name + ".pem"
	return issuedOf(l, authority.ClientRole, []string{name}, file), newFile{file, private, text}, nil
}

// openAuthority reads the CA in a folder. It returns an error if the CA has expired,
// because it could not sign.
func openAuthority(dir string) (*authority.CA, error) {
	certFile, keyFile := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	texts := make([][]byte, 2)
	for i, file := range []string{certFile, keyFile} {
		data, err := pemfile.Read(file, pemfile.MaxSize)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no CA in %s: %s is missing; name the CA's folder with -dir, or create one with `tunnels certs init NAME…`", dir, filepath.Base(file))
		}
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		texts[i] = data
	}
	cert, err := pemfile.Parse(texts[0])
	if err != nil {
		return nil, fmt.Errorf("CA %s: %w", certFile, err)
	}
	key, err := pemfile.Parse(texts[1])
	if err != nil {
		return nil, fmt.Errorf("CA key %s: %w", keyFile, err)
	}
	pair := cert.Pair(key.Keys)
	if pair == nil || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s and %s are not a matching CA certificate and key", certFile, keyFile)
	}
	signer := pair.PrivateKey.(crypto.Signer) // Bundle.Pair always returns a Signer
	if text := certtext.OutOfDate(pair.Leaf, time.Now()); text != "" {
		return nil, fmt.Errorf("the CA %s %s; create a new one in another folder with `tunnels certs init -dir DIR NAME…`", certFile, text)
	}
	return &authority.CA{Cert: pair.Leaf, Key: signer}, nil
}

func report(dir string, files []newFile, issued ...Issued) (*Report, error) {
	written, err := writeAll(dir, files)
	if err != nil {
		return nil, err
	}
	return &Report{Files: written, Issued: issued}, nil
}
