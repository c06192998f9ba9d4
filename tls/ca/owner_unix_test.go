//go:build unix

package ca

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRevocationListStaysReadable checks that users who could read the list before a
// revocation, or who can read the CA next to a new list, can read the list afterwards,
// whatever the umask is.
func TestRevocationListStaysReadable(t *testing.T) {
	root := os.Geteuid() == 0
	for _, tt := range []struct {
		name string
		mode os.FileMode
		new  bool // there was no list before
		link bool // the list is a symbolic link
	}{
		{"replaced", 0o644, false, false},
		{"for a group", 0o640, false, false},
		{"new, next to the CA", 0o640, true, false},
		{"a link", 0o644, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := mustInit(t, "127.0.0.1")
			path := filepath.Join(dir, crlFile)
			like := path
			switch {
			case tt.new:
				like = filepath.Join(dir, caFile)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			case tt.link:
				like = filepath.Join(t.TempDir(), "elsewhere.crl")
				if err := os.Rename(path, like); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(like, path); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(like, tt.mode); err != nil {
				t.Fatal(err)
			}
			uid, gid := os.Geteuid(), os.Getegid()
			if root {
				uid, gid = 1234, 2345
				if err := os.Chown(like, uid, gid); err != nil {
					t.Fatal(err)
				}
			}
			old := syscall.Umask(0o077)
			var err error
			if tt.new {
				_, err = NewCRL(dir)
			}
			if err == nil {
				_, err = Revoke(dir, "client")
			}
			syscall.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if tt.link {
				if err != nil || info.Mode().Type() != os.ModeSymlink {
					t.Fatalf("the link has become %v, %v", info.Mode(), err)
				}
				info, err = os.Lstat(like)
			}
			if err != nil {
				t.Fatal(err)
			}
			is := info.Sys().(*syscall.Stat_t)
			if info.Mode().Perm() != tt.mode || int(is.Uid) != uid || int(is.Gid) != gid {
				t.Errorf("the list has mode %v and owner %d:%d, want %v and %d:%d", info.Mode(), is.Uid, is.Gid, tt.mode, uid, gid)
			}
			all, err := List(dir)
			if err != nil || all[1].Revoked.IsZero() {
				t.Errorf("List = %v, %v, want the client revoked", all, err)
			}
		})
	}
}
