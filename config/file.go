package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxFile is more than any configuration needs, so that a wrong path, to a log
// or a device, is noticed soon.
const maxFile = 1 << 20

func readFile(path string, known []string) (map[string]given, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes: it cannot be a configuration file", maxFile)
	}
	return parseFile(string(data), path, known)
}

// parseFile reads the lines of a file called path. The known names are what may
// stand left of the equals sign. Its errors are *Error.
func parseFile(data, path string, known []string) (map[string]given, error) {
	values := make(map[string]given)
	var bad problems
	data = strings.TrimPrefix(data, "\ufeff") // what some editors put before the first line
	num := 0
	for line := range strings.SplitSeq(data, "\n") {
		num++
		origin := fmt.Sprintf("%s:%d", path, num)
		key, value, err := parseLine(strings.TrimSpace(line))
		switch {
		case err != nil:
			bad.add(&Error{Name: key, Origin: origin, Want: err.Error()})
		case key == "":
		case key == "config":
			bad.add(&Error{Name: key, Origin: origin, Want: "a file cannot name another one"})
		case !slices.Contains(known, key):
			bad.add(unknown(key, key, origin, known))
		case values[key].origin != "":
			bad.add(&Error{Name: key, Value: "", Origin: origin, Want: "is given twice, first at " + values[key].origin})
		default:
			values[key] = given{value, origin}
		}
		if len(bad) >= 20 { // it is some other file
			bad.add(&Error{Origin: path, Want: "and more: is it a configuration file?"})
			break
		}
	}
	return values, bad.err()
}

// parseLine reads one trimmed line; an empty key: it holds nothing.
func parseLine(line string) (key, value string, err error) {
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		word, _, _ := strings.Cut(strings.Fields(line)[0], "=") // what follows may be a secret
		return "", "", fmt.Errorf("line that begins with %.60q: want key = value, as in server.addr = :443", word)
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
		return key, cutComment(value), nil
	}
	if rest != "" && cutComment(rest) != "" {
		return key, "", errors.New("nothing but a comment may follow the closing quote")
	}
	return key, value, nil
}

// cutComment is s without what follows a # at its begin or behind a blank.
func cutComment(s string) string {
	for i, r := range s {
		if r == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// quote is value as a file may hold it.
func quote(value string) string {
	plain := value == strings.TrimSpace(value) && value == cutComment(value) && value != ""
	if plain && value[0] != '"' && value[0] != '\'' && strings.IndexFunc(value, unicode.IsControl) < 0 {
		return value
	}
	return strconv.Quote(value)
}
