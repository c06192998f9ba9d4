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
	costMax  = 14 // takes about a second; each step doubles it
	hashSize = 60
)

// parseUsers parses a users file. It returns the names in order and the hashes. An
// error names the line and never quotes it.
func parseUsers(text string) (names []string, hashes map[string][]byte, err error) {
	hashes = make(map[string][]byte)
	seen := make(map[string]int) // line number of each name
	n := 0
	for line := range strings.Lines(text) {
		n++
		name, hash, err := parseUser(line)
		if err == nil && name != "" && seen[name] > 0 {
			err = fmt.Errorf("user %q is already on line %d", name, seen[name])
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

// parseUser parses one line; name is empty if the line is blank or a comment.
func parseUser(line string) (name, hash string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	name, hash, ok := strings.Cut(line, ":")
	if !ok {
		return "", "", errors.New("want name:hash, as written by `tunnels users add` or `htpasswd -B`")
	}
	if err := checkUserName(name); err != nil {
		return "", "", err
	}
	return name, hash, checkHash(hash)
}

// checkUserName returns an error if a user name is invalid.
func checkUserName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case len(name) > nameMax:
		return fmt.Errorf("name is %d bytes long; the maximum is %d", len(name), nameMax)
	case !utf8.ValidString(name):
		return errors.New("name is not UTF-8")
	case name[0] == '#':
		return errors.New("name begins with #, which makes it a comment")
	case strings.TrimSpace(name) != name:
		return errors.New("name begins or ends with a space")
	case strings.ContainsRune(name, ':') || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("name contains a colon or a control character")
	}
	return nil
}

// checkHash returns an error if a hash is invalid, without quoting it.
func checkHash(hash string) error {
	known := strings.HasPrefix(hash, "$2a$") || strings.HasPrefix(hash, "$2b$") || strings.HasPrefix(hash, "$2y$")
	if !known {
		return errors.New("the text after the name is not a bcrypt hash: want one that begins with $2a$, $2b$ or $2y$, as written by `tunnels users add` or `htpasswd -B`")
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

// List returns the names in a users file, in file order.
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

// Add sets a user's password, which must be 1 to 72 bytes long and contain no zero byte.
// If the file does not exist it is created, readable only by its owner. Other lines are
// preserved.
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

// Remove removes a user. It returns an error if the user does not exist.
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

// editUsers replaces name's line with line, or appends it.
func editUsers(path, name, line string) (found bool, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // write to the symlink's target instead of replacing the symlink
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

// replaceFile replaces a file with the result of change, which receives the old content,
// or "" if there is no file. The new content is written to a temporary file that is then
// renamed, so that readers see either the old or the new content. Creating the temporary
// file fails if it exists, so two concurrent changes cannot overwrite each other. Owner
// and mode are kept, so a service that could read the file still can.
func replaceFile(path string, change func(old string) ([]byte, error)) (err error) {
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("lock file %s exists: another tunnels process is changing the users file; if none is running, an earlier one was interrupted: remove the lock file and try again", beside)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(beside) // the first error matters more
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
