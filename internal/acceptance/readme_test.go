//go:build linux

package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pasted lists the code blocks that newcomers paste from README. It maps a name for
// each block to the words before it.
var pasted = map[string]string{
	"install":          "use `make cross`.",
	"certs":            "**1. On the server**",
	"server":           "**2. Still on the server**",
	"client":           "**3. On the laptop**",
	"service-server":   "**On the server**, as root",
	"service-client":   "**On the laptop** (Linux)",
	"upgrade-client":   "**To upgrade**",
	"upgrade-server":   "**Then, on the server**",
	"uninstall":        "**To uninstall**",
	"uninstall-client": "**And on the laptop**",
}

// codeAfter returns the first code block after words in a Markdown text.
func codeAfter(text, words string) string {
	_, text, _ = strings.Cut(text, words)
	var code strings.Builder
	for line := range strings.Lines(text) {
		indented, ok := strings.CutPrefix(line, "    ")
		switch {
		case ok:
			code.WriteString(indented)
		case code.Len() > 0:
			return code.String()
		}
	}
	return code.String()
}

// TestReadmePasted checks that the commands in README, pasted in order, set up a server
// and a client, then services with the same certificates, and finally uninstall them.
func TestReadmePasted(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to create its own /etc and network")
	}
	for _, program := range []string{"unshare", "nsenter", "setpriv", "ip", "python3", "curl", "pkill"} {
		need(t, program)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, words := range pasted {
		code := codeAfter(string(readme), words)
		if code == "" {
			t.Fatalf("README has no code after %q", words)
		}
		write(t, filepath.Join(dir, "blocks", name), code)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "src/bin/tunnels"), string(program))
	if err := os.Chmod(filepath.Join(dir, "src/bin/tunnels"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := job{Limit: 3 * patience}.run(t, "testdata/paste.sh", dir).must(t)
	contains(t, "output of the commands", got.Stdout, "root 600 /etc/tunnels/ca.key\n",
		"exit code 2 for an invalid configuration\n", "nothing is left\n")
	if n := strings.Count(got.Stdout, "hello from the Internet\n"); n != 3 {
		t.Errorf("the page was fetched %d times, want 3: %v", n, got)
	}
}

// write writes a file, creating its folders.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
