package config

import (
	"fmt"
	"slices"
	"strings"

	"tunnels/internal/lines"
	"tunnels/internal/typo"
)

func readFile(path string, known []string) (map[string]given, error) {
	text, err := lines.ReadFile(path, "configuration")
	if err != nil {
		return nil, err
	}
	return parseFile(text, path, known)
}

// parseFile parses the lines of the file at path. Only known names are allowed before
// the equals sign. Its errors are *Error.
func parseFile(data, path string, known []string) (map[string]given, error) {
	values := make(map[string]given)
	var bad problems
	num := 0
	for line := range strings.SplitSeq(data, "\n") {
		num++
		origin := fmt.Sprintf("%s:%d", path, num)
		key, value, err := lines.Parse(line, "server.addr = :443")
		switch {
		case err != nil:
			if !slices.Contains(known, key) {
				key = "" // not quoted: the file could contain anything
			}
			bad.add(&Error{Name: key, Origin: origin, Want: err.Error()})
		case key == "":
		case key == "config":
			bad.add(&Error{Name: key, Origin: origin, Want: "a configuration file cannot include another one"})
		case !slices.Contains(known, key):
			bad.add(unknownLine(key, origin, known))
		case values[key].origin != "":
			bad.add(&Error{Name: key, Value: "", Origin: origin, Want: "is repeated, first at " + values[key].origin})
		default:
			values[key] = given{value, origin}
		}
		if len(bad) >= 20 { // probably not a configuration file
			bad.add(&Error{Origin: path, Want: "too many errors: is it a configuration file?"})
			break
		}
	}
	return values, bad.err()
}

// unknownLine is unknownName for a key in a file. The key is shown only if it resembles
// a known one or looks like an option name, so that it cannot be part of a secret.
func unknownLine(key, origin string, known []string) error {
	err := unknownName(key, origin, known)
	asOptions := len(key) <= 32 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz.") == ""
	if !asOptions && typo.Nearest(key, known) == "" {
		err.Value = ""
	}
	return err
}
