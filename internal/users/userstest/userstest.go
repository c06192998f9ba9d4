// Package userstest creates users files for tests.
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

// File is a users file that can be rewritten, and the Users that reads it.
type File struct {
	*users.Users
	path string
}

// New creates a users file from pairs of a name and its password. The file is removed
// when the test ends.
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

// Rewrite replaces the users, and returns once the new ones are in force.
func (u *File) Rewrite(t testing.TB, pairs ...string) {
	t.Helper()
	u.write(t, pairs...)
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
}
