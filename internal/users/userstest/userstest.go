// Package userstest makes files of users for tests.
package userstest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"tunnels/internal/users"
)

// File is a file of users that may change, and the Users that read it.
type File struct {
	*users.Users
	path string
}

// New returns a file of names and passwords, one behind the other, that is removed
// with the test.
func New(t testing.TB, pairs ...string) *File {
	t.Helper()
	u := &File{path: filepath.Join(t.TempDir(), "users")}
	u.write(t, pairs...)
	var err error
	if u.Users, err = users.Open(u.path, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func (u *File) write(t testing.TB, pairs ...string) {
	t.Helper()
	var text strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		hash, err := bcrypt.GenerateFromPassword([]byte(pairs[i+1]), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s:%s\n", pairs[i], hash)
	}
	if err := os.WriteFile(u.path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Rewrite replaces the users, and returns when the new ones count.
func (u *File) Rewrite(t testing.TB, pairs ...string) {
	t.Helper()
	u.write(t, pairs...)
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
}
