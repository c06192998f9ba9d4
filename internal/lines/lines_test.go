package lines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	tests := []struct{ line, key, value, err string }{
		{"", "", "", ""},
		{" # a = b", "", "", ""},
		{" a = b ", "a", "b", ""},
		{"a=b#c # d", "a", "b#c", ""},
		{`a = "b # c\t" # d`, "a", "b # c\t", ""},
		{`a = 'b\t'`, "a", `b\t`, ""},
		{"a =", "a", "", ""},
		{"a = # none", "a", "", ""},
		{"secret", "", "", "want key = value, as in x = y"},
		{"= b", "", "", "want key = value"},
		{`a = "b`, "a", "", "double quote is not closed"},
		{"a = 'b", "a", "", "single quote is not closed"},
		{`a = "b" c`, "a", "", "only a comment"},
	}
	for _, tt := range tests {
		key, value, err := Parse(tt.line, "x = y")
		wrong := (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err)
		if key != tt.key || value != tt.value || wrong {
			t.Errorf("Parse(%q) = %q, %q, %v, want %q, %q, %q", tt.line, key, value, err, tt.key, tt.value, tt.err)
		}
	}
}

// FuzzParse checks that Parse reads back what Quote writes.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a = b", "a = 'x' # y", `a = "\xff"`, "a = \u00e0#b", "=", "a", "a = #", "a = b\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, value, err := Parse(line, "x = y")
		if err != nil || key == "" {
			return
		}
		k, v, err := Parse(key+" = "+Quote(value), "x = y")
		if err != nil || k != key || v != value {
			t.Fatalf("%q = %q reads back as %q, %q, %v", key, value, k, v, err)
		}
	})
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if text, err := ReadFile(write("bom", "\ufeffa = b"), "test"); text != "a = b" || err != nil {
		t.Errorf("ReadFile = %q, %v, want the text without its mark", text, err)
	}
	if _, err := ReadFile(write("large", strings.Repeat("#", MaxFile+1)), "test"); err == nil || !strings.Contains(err.Error(), "cannot be a test file") {
		t.Errorf("ReadFile of a file that is too large = %v", err)
	}
	for name, text := range map[string]string{"key": "-----BEGIN PRIVATE KEY-----\nMIGH\n", "late": "\ufeff# a = b\r\na = -----BEGIN CERTIFICATE-----"} {
		_, err := ReadFile(write(name, text), "test")
		if err == nil || err.Error() != "is a certificate or key (PEM), not a test file" {
			t.Errorf("ReadFile of %q = %v", text, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), "test"); !os.IsNotExist(err) {
		t.Errorf("ReadFile of a missing file = %v", err)
	}
}
