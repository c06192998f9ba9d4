// Package lines parses the lines of our files, which have the form key = value. A line
// starting with # is a comment, and so is text after a # that follows a space. A value
// may be in double quotes, with Go escapes, or in single quotes, taken literally.
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

// MaxFile limits the size of a file in bytes. It is more than any file needs, and
// quickly catches a wrong path, such as a log or device.
const MaxFile = 1 << 20

// ReadFile reads a file of up to MaxFile bytes that contains no certificate or key.
// kind, such as "configuration", describes the file in errors, which never quote its
// content.
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
	return strings.TrimPrefix(string(data), "\ufeff"), nil // some editors write a byte order mark
}

// Parse parses one line, without its newline; key is empty if the line has no content.
// The error does not quote the line, which may come from a key file; it gives an
// example of the expected form. A key returned along with an error is as written in the
// line, so the caller must not show it unless it is a known key.
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
			return key, "", errors.New("the value's double quote is not closed, or has an invalid escape")
		}
		rest = value[len(q):]
		value, _ = strconv.Unquote(q) // cannot fail, because q comes from QuotedPrefix
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
		return key, "", errors.New("only a comment may follow the closing quote")
	}
	return key, value, nil
}

// CutComment returns s without a comment, which begins with a # at the start or after a
// space, and without surrounding spaces.
func CutComment(s string) string {
	for i, r := range s {
		if r == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// Quote returns value in a form that Parse can read back.
func Quote(value string) string {
	plain := value == strings.TrimSpace(value) && value == CutComment(value) && value != ""
	if plain && value[0] != '"' && value[0] != '\'' && strings.IndexFunc(value, unicode.IsControl) < 0 {
		return value
	}
	return strconv.Quote(value)
}
