package pemfile

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Types of PEM blocks.
const (
	TypeCert    = "CERTIFICATE"
	TypeCRL     = "X509 CRL"
	typeTrusted = "TRUSTED CERTIFICATE" // with openssl-specific data appended
)

// The markers around a PEM block (RFC 7468). The search uses fewer dashes than they
// have, to find even a block that lost a dash when copied.
var (
	beginMark = []byte("--BEGIN ")
	endMark   = []byte("--END ")
	byteOrder = []byte("\xef\xbb\xbf")
)

// Blocks returns all blocks of a PEM text, or an error if one of them cannot be
// read. pem.Decode silently skips such a block, which could be the list with a
// revocation or the CA of half the clients. Text between blocks and byte order marks
// are ignored.
//
// No error quotes the text, which may be a key.
func Blocks(data []byte) ([]*pem.Block, error) {
	data = bytes.ReplaceAll(data, byteOrder, nil)
	total := max(bytes.Count(data, beginMark), bytes.Count(data, endMark))
	if total > maxBlocks {
		return nil, fmt.Errorf("more than %d PEM blocks", maxBlocks)
	}
	var blocks []*pem.Block
	for n := 1; n <= total; n++ {
		block, rest := pem.Decode(data)
		taken := data[:len(data)-len(rest)]
		if block == nil || bytes.Count(taken, beginMark) != 1 || bytes.Count(taken, endMark) != 1 {
			return nil, fmt.Errorf("block %d of %d is damaged%s", n, total, damage(data))
		}
		blocks = append(blocks, block)
		data = rest
	}
	return blocks, nil
}

// damage describes the damage to the first block of a text, in words that complete an
// error message, or returns "" if it cannot identify the damage.
func damage(data []byte) string {
	begin, end := bytes.Index(data, beginMark), bytes.Index(data, endMark)
	switch {
	case begin < 0 || end >= 0 && end < begin:
		return ": its BEGIN line is missing"
	case end < 0 || bytes.Count(data[:end], beginMark) > 1:
		return ": its END line is missing"
	}
	line := data[bytes.LastIndexByte(data[:begin], '\n')+1 : begin]
	if before := bytes.Trim(line, "-"); len(before) > 0 {
		return ": there is text before its BEGIN on the same line"
	}
	line, _, _ = bytes.Cut(data[end+len(endMark):], []byte("\n"))
	if _, behind, _ := bytes.Cut(line, []byte("-----")); len(bytes.TrimSpace(behind)) > 0 {
		return ": there is text after its END on the same line"
	}
	return ""
}

// blockTypes are the block types that an error may name. Any other type could be part
// of a damaged key.
var blockTypes = []string{
	TypeCert, typeTrusted, "X509 CERTIFICATE", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "PKCS7", "CMS", TypeCRL,
	"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY",
	"PUBLIC KEY", "RSA PUBLIC KEY", "EC PARAMETERS", "DH PARAMETERS",
}

// BlockName returns the name used in errors for block i, counting from 0.
func BlockName(blocks []*pem.Block, i int) string {
	name := fmt.Sprintf("block %d of %d", i+1, len(blocks))
	if slices.Contains(blockTypes, blocks[i].Type) {
		name += " (" + blocks[i].Type + ")"
	}
	return name
}

// NotPEM returns an error that describes a text without the wanted blocks. The error
// reads "no WANTED in PEM form".
func NotPEM(data []byte, blocks []*pem.Block, wanted string) error {
	what := ""
	switch {
	case len(data) == 0:
		return errors.New("the file is empty")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		what = "this is UTF-16 text; save it as UTF-8"
	case len(blocks) > 0:
		what = otherBlocks(blocks)
	case data[0] == 0x30:
		what = binaryForm(data)
	}
	if what == "" {
		return fmt.Errorf("no %s in PEM form", wanted)
	}
	return fmt.Errorf("no %s in PEM form: %s", wanted, what)
}

// otherBlocks describes the blocks found instead of the wanted ones.
func otherBlocks(blocks []*pem.Block) string {
	var types []string
	for _, b := range blocks {
		if slices.Contains(blockTypes, b.Type) && !slices.Contains(types, b.Type) {
			types = append(types, b.Type)
		}
	}
	if len(types) == 0 {
		return ""
	}
	return "it holds " + strings.Join(types, ", ")
}

// binaryForm describes DER data and names the command that converts it to PEM.
func binaryForm(data []byte) string {
	if _, err := x509.ParseCertificate(data); err == nil {
		return "this is a certificate in DER form; convert it with `openssl x509 -inform DER -in OLD -out NEW`"
	}
	if _, err := x509.ParseRevocationList(data); err == nil {
		return "this is a revocation list in DER form; convert it with `openssl crl -inform DER -in OLD -out NEW`"
	}
	var any asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &any); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return ""
	}
	for _, parse := range []func([]byte) error{
		func(der []byte) error { _, err := x509.ParsePKCS8PrivateKey(der); return err },
		func(der []byte) error { _, err := x509.ParseECPrivateKey(der); return err },
		func(der []byte) error { _, err := x509.ParsePKCS1PrivateKey(der); return err },
	} {
		if parse(data) == nil {
			return "this is a key in DER form; convert it with `openssl pkey -inform DER -in OLD -out NEW`"
		}
	}
	var pfx struct { // RFC 7292 section 4
		Version int
		Content asn1.RawValue
		MAC     asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(data, &pfx); err == nil && pfx.Version == 3 {
		return "this is a PKCS #12 file (.p12, .pfx); convert it with `openssl pkcs12 -nodes -in OLD -out NEW`"
	}
	return "this is binary (DER)"
}
