// Package lines reads the lines that our files are made of: key = value. A line
// that begins with # is a comment, as is what follows a # behind a blank; a value
// may stand in double quotes, with Go's escapes, or in single quotes, as it is.
package lines

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"tunnels/internal/keytext"
)

// MaxFile is how many bytes a file may have: more than any needs, so that a wrong
// path, to a log or a device, is noticed soon.
const MaxFile = 1 << 20

// ReadFile reads a file of at most MaxFile bytes that holds no certificate and no
// key. kind is what an error calls it: "configuration". No error holds anything of
// the file's text.
func ReadFile(path, kind string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > MaxFile {
		return "", fmt.Errorf("is larger than %d bytes: it cannot be a %s file", MaxFile, kind)
	}
	if keytext.IsPEM(string(data)) {
		return "", fmt.Errorf("is a certificate or key (PEM), not a %s file", kind)
	}
	return strings.TrimPrefix(string(data), "\ufeff"), nil // what some editors put before the first line
}

// Parse reads one line without its newline; the key is empty if the line holds
// nothing. The error repeats nothing of the line, which may be one of a key's file;
// what would be right it shows by the example. The key that comes with an error is
// as it stands in the line: the caller must not show it unless it knows it.
func Parse(line, example string) (key, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return "", "", fmt.Errorf("want key = value, as in %s", example)
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return key, "", nil
	}
	rest := ""
	switch value[0] {
	case '"':
		q, err := strconv.QuotedPrefix(value)
		if err != nil {
			return key, "", errors.New("the value's double quote is not closed, or has an escape that Go does not know")
		}
		rest = value[len(q):]
		value, _ = strconv.Unquote(q) // cannot fail: q is what QuotedPrefix found
	case '\'':
		q, after, ok := strings.Cut(value[1:], "'")
		if !ok {
			return key, "", errors.New("the value's single quote is not closed")
		}
		value, rest = q, after
	default:
		return key, CutComment(value), nil
	}
	if rest != "" && CutComment(rest) != "" {
		return key, "", errors.New("nothing but a comment may follow the closing quote")
	}
	return key, value, nil
}

// CutComment is s without what follows a # at its begin or behind a blank, and
// without blanks around it.
func CutComment(s string) string {
	for i, r := range s {
		if r == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// Quote is value as Parse reads it.
func Quote(value string) string {
	plain := value == strings.TrimSpace(value) && value == CutComment(value) && value != ""
	if plain && value[0] != '"' && value[0] != '\'' && strings.IndexFunc(value, unicode.IsControl) < 0 {
		return value
	}
	return strconv.Quote(value)
}
