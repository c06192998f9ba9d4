package pemfile

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
)

// PEM files are read into memory, so their size is limited. The largest plausible file,
// a system's list of CAs, has about 150 blocks in 250 KiB.
const (
	MaxSize   = 4 << 20
	maxBlocks = 1000
)

// Read returns the content of a file, or an error if it is larger than limit.
func Read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, nil
}

// ParseCAs returns the CA certificates in the PEM text data; name identifies it in
// errors. Other certificates in the text are ignored, because a peer's certificate must
// not become a CA by being listed. The text must not hold revocation lists, which are
// read from crlFiles.
func ParseCAs(name string, data []byte, crlFiles []string) ([]*x509.Certificate, error) {
	b, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if b.Lists > 0 {
		return nil, fmt.Errorf("%s holds a revocation list, which is not read from this file; move it to %s", name, strings.Join(crlFiles, " or "))
	}
	cas := b.CAs()
	if len(cas) == 0 {
		return nil, fmt.Errorf("%s holds no CA certificate; the CA is in the ca.pem that `tunnels certs init` wrote", name)
	}
	return cas, nil
}

// Encode returns a block as PEM text.
func Encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
