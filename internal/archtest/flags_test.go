package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// flagName matches an option's name, including its dash.
var flagName = regexp.MustCompile(`(?:^|[^\w.-])(-(?:server|client|tls|remux|eagersocks|sla)\.[a-z][\w.]*|-insecure\b)`)

// knowsFlags lists the folders whose files may name options, because they parse or
// explain them or run the program. So may main.go.
var knowsFlags = []string{"internal/cli", "internal/config", "internal/bench", "internal/units", "internal/acceptance"}

// TestNoFlagNames checks that no file below config names an option, in code or
// comments. A setting's name in messages is passed along with the setting, as data.
func TestNoFlagNames(t *testing.T) {
	seen := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (file != "." && d.Name()[0] == '.' || slices.Contains(knowsFlags, file)) {
			return filepath.SkipDir
		}
		if d.IsDir() || file == "main.go" || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		seen++
		text, err := fs.ReadFile(os.DirFS(root), file)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := flagName.FindStringSubmatch(line); m != nil {
				t.Errorf("%s:%d names the option %s: only config and cli know options; pass the name as data", file, i+1, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("only %d Go files were searched", seen)
	}
}

// TestFlagName checks that flagName finds the names of options and not similar words.
func TestFlagName(t *testing.T) {
	for line, want := range map[string]string{
		`errors.New("-server.addr is missing")`: "-server.addr",
		"// The modes of -eagersocks.eager.":    "-eagersocks.eager.",
		"`-tls.client.ca`":                      "-tls.client.ca",
		"use tls, or say -insecure":             "-insecure",
		"x-server.example":                      "",
		"n-server.count":                        "",
		"-server, and -sla…":                    "",
		"tls.server.ca":                         "",
	} {
		got := ""
		if m := flagName.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%q: found %q, want %q", line, got, want)
		}
	}
}
