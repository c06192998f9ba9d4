package users

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"tunnels/internal/reload"
)

const (
	costMax  = 14 // about a second; each step up doubles it
	hashSize = 60
)

// parseUsers reads the lines of a users file. It returns the names in their order
// and the hashes. An error names the line and never repeats it.
func parseUsers(text string) (names []string, hashes map[string][]byte, err error) {
	hashes = make(map[string][]byte)
	seen := make(map[string]int) // in which line
	n := 0
	for line := range strings.Lines(text) {
		n++
		name, hash, err := parseUser(line)
		if err == nil && name != "" && seen[name] > 0 {
			err = fmt.Errorf("user %q stands in line %d already", name, seen[name])
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
		if name == "" {
			continue
		}
		seen[name] = n
		names = append(names, name)
		hashes[name] = []byte(hash)
	}
	return names, hashes, nil
}

// parseUser reads one line; the name is empty if it says nothing.
func parseUser(line string) (name, hash string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	name, hash, ok := strings.Cut(line, ":")
	if !ok {
		return "", "", errors.New("want name:hash, as `tunnels users add` and `htpasswd -B` write it")
	}
	if err := checkUserName(name); err != nil {
		return "", "", err
	}
	return name, hash, checkHash(hash)
}

// checkUserName says what is wrong with the name of a user.
func checkUserName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case len(name) > nameMax:
		return fmt.Errorf("name has %d bytes, %d are possible", len(name), nameMax)
	case !utf8.ValidString(name):
		return errors.New("name is not UTF-8")
	case name[0] == '#':
		return errors.New("name begins with #, which makes a comment of it")
	case strings.TrimSpace(name) != name:
		return errors.New("name begins or ends with a blank")
	case strings.ContainsRune(name, ':') || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("name contains a colon or a control character")
	}
	return nil
}

// checkHash says what is wrong with a hash, without repeating it.
func checkHash(hash string) error {
	known := strings.HasPrefix(hash, "$2a$") || strings.HasPrefix(hash, "$2b$") || strings.HasPrefix(hash, "$2y$")
	if !known {
		return errors.New("what follows the name is no bcrypt hash: want one that begins with $2a$, $2b$ or $2y$, as `tunnels users add` and `htpasswd -B` write it")
	}
	cost, err := strconv.ParseUint(hash[4:min(6, len(hash))], 10, 8)
	if len(hash) != hashSize || hash[6] != '$' || err != nil || strings.ContainsFunc(hash[7:], notInHash) {
		return errors.New("the bcrypt hash is damaged: want 60 characters")
	}
	if int(cost) < bcrypt.MinCost || cost > costMax {
		return fmt.Errorf("the bcrypt hash has cost %d: want %d to %d", cost, bcrypt.MinCost, costMax)
	}
	return nil
}

func notInHash(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '/'
}

// List is the names in a users file, in their order.
func List(path string) ([]string, error) {
	text, _, err := reload.Read(path, "users")
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	names, _, err := parseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("users file: %s: %w", path, err)
	}
	return names, nil
}

// Add gives the user of that name a password: 1 to 72 bytes, none of them
// zero. The file is made, for its owner alone to read, if there is none; lines
// about others stay as they are.
func Add(path, name, password string) (replaced bool, err error) {
	if err := checkUserName(name); err != nil {
		return false, fmt.Errorf("adding a user: %w", err)
	}
	if err := checkPassword(password); err != nil {
		return false, fmt.Errorf("adding user %q: %w", name, err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return false, fmt.Errorf("adding user %q: %w", name, err)
	}
	return editUsers(path, name, fmt.Sprintf("%s:%s\n", name, hash))
}

// Remove removes the user of that name. It is an error if there is none.
func Remove(path, name string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("users file: %w", err)
	}
	found, err := editUsers(path, name, "")
	if err == nil && !found {
		err = fmt.Errorf("users file %s has no user %q", path, name)
	}
	return err
}

// editUsers puts line in the place of that of name, or at the end.
func editUsers(path, name, line string) (found bool, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays one
	}
	err = replaceFile(path, func(text string) ([]byte, error) {
		if _, _, err := parseUsers(text); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		var out []byte
		for l := range strings.Lines(text) {
			if n, _, _ := parseUser(l); n == name {
				found = true
				out = append(out, line...)
			} else {
				out = append(append(out, strings.TrimSuffix(l, "\n")...), '\n')
			}
		}
		if !found {
			out = append(out, line...)
		}
		return out, nil
	})
	if err != nil {
		return false, fmt.Errorf("users file: %w", err)
	}
	return found, nil
}

// replaceFile replaces a file by what change makes of its content; none is an
// empty one. The new content is written beside it and renamed, so that readers
// see the old or the new; that the file beside it must not exist keeps two of
// these from undoing each other. Owner and mode stay as they are, so that a
// service which could read it still can.
func replaceFile(path string, change func(old string) ([]byte, error)) (err error) {
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: another tunnels is changing the file; if none is, one was interrupted: remove it and try again", beside)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(beside) // the first error is the one to know
		}
	}()
	old, info, err := reload.Read(path, "users")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && info != nil {
		err = keepOwner(f, info)
	}
	var text []byte
	if err == nil {
		text, err = change(old)
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
