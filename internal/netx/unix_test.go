package netx

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func listenUnixFor(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaveStale leaves a socket file behind, as a killed process would.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestUnixMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no file modes on this system")
	}
	path := filepath.Join(t.TempDir(), "s")
	l := listenUnixFor(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o600 {
		t.Errorf("mode of the socket file = %v, want %v", got, os.ModeSocket|0o600)
	}
	l.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after Close: Stat = %v, want the file gone", err)
	}
}

func TestUnixStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leaveStale(t, path)
	l := listenUnixFor(t, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("dialing the new listener: %v", err)
	}
	defer c.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
}

func TestUnixRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	stale := filepath.Join(dir, "stale")
	leaveStale(t, stale)
	if err := os.Symlink(stale, link); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, "live")
	listenUnixFor(t, live)

	tests := []struct{ name, path, want string }{
		{"regular file", file, "is not a socket"},
		{"folder", dir, "is not a socket"},
		{"symbolic link", link, "is not a socket"},
		{"live socket", live, "already listening"},
		{"no parent", filepath.Join(dir, "no", "s"), "does not exist: create it"},
		{"parent is a file", filepath.Join(file, "s"), "not a"},
		{"empty", "", "path of the socket file is missing"},
		{"too long", filepath.Join(dir, strings.Repeat("x", 108)), "the system allows only 107"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(t.Context(), "unix", tt.path)
			if err == nil {
				l.Close()
				t.Fatalf("Listen(unix, %q) succeeded", tt.path)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen(unix, %q) = %v, want it to say %q", tt.path, err, tt.want)
			}
		})
	}
	if got, err := os.ReadFile(file); string(got) != "precious" {
		t.Errorf("the regular file now holds %q, %v", got, err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("the symbolic link is gone: %v", err)
	}
	if c, err := net.Dial("unix", live); err != nil {
		t.Errorf("the live socket no longer answers: %v", err)
	} else {
		c.Close()
	}
}
