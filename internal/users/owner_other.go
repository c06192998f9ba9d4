//go:build !unix

package users

import "os"

// keepOwner does nothing: owner and mode are not those of UNIX here.
func keepOwner(*os.File, os.FileInfo) error { return nil }
