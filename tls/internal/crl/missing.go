package crl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files in a CA's folder.
const (
	File       = "ca.crl" // its revocation list
	IssuedFile = "issued" // its record of issued certificates; only a CA's folder has one
)

// Missing returns an error if dir is a CA's folder without a revocation list. Such a
// folder always has one; without it, revoked certificates would be accepted again.
func Missing(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, IssuedFile)); err != nil {
		return nil
	}
	path := filepath.Join(dir, File)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("revocation list %s is missing; the certificates it revoked would be accepted again: "+
		"restore it, or run `tunnels certs crl -dir %s` for an empty one and repeat the revocations", path, dir)
}
