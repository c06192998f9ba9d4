package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tunnels/internal/lines"
	"tunnels/internal/typo"
)

// FuzzFile: a file is either rejected with an *Error or parsed, and a parsed one can be
// written and parsed again.
func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"", "# c\n", "server.addr = :443\n", "a = \"x\" # y\nb = 'z'", "a = x # y", "a = x#y", "a=\"\\\"\"", "a = '",
		"a", "=", "a = 1\na = 2", "MIGHAgEAMBMGByqGSM49", "bMIGHAgEA1C7w==", "server.addrXC1", "bX = \"A1", "\ufeffa = 1", "a = \"\\xff\\x00\"", "a = b\r\n", "config = x", "a = \u00e0#b",
	} {
		f.Add(s)
	}
	known := []string{"a", "b", "server.addr", "config"}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFile(text, "f", known)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("parseFile(%q) = %T, want an *Error", text, err)
			}
			for word := range strings.FieldsSeq(text) {
				if key, _, _ := strings.Cut(word, "="); typo.Nearest(key, known) != "" {
					continue // its value is shown
				}
				if len(word) >= 12 && strings.ContainsAny(word, "0123456789") && strings.ContainsAny(word, "ABCXYZ") && strings.Contains(err.Error(), word) {
					t.Fatalf("parseFile(%q) = %v, which repeats %q", text, err, word)
				}
			}
			return
		}
		var b strings.Builder
		for k, v := range got {
			fmt.Fprintf(&b, "%s = %s\n", k, lines.Quote(v.value))
		}
		again, err := parseFile(b.String(), "f", known)
		if err != nil || len(again) != len(got) {
			t.Fatalf("parseFile(%q) = %v, %v, want %v", b.String(), again, err, got)
		}
		for k, v := range got {
			if again[k].value != v.value {
				t.Fatalf("%s = %q is written as %s and read back as %q", k, v.value, lines.Quote(v.value), again[k].value)
			}
		}
	})
}

// FuzzAddress: an address accepted by checkAddress contains no byte that could harm a
// log line or a command.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"", ":443", "a:1", "[::1]:443", "[fe80::1%eth0]:1", "a.b.:0", "::1", "[", "a:b:c", "1.2.3.4:65536"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, address string, dial bool) {
		u := listening
		if dial {
			u = dialing
		}
		if checkAddress("tcp", address, u) == nil && strings.ContainsAny(address, " \n\r\t\x00/\"'`;|") {
			t.Fatalf("checkAddress(%q) = nil", address)
		}
	})
}
