package rules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/reload"
)

// watched is a rules file and the reports about it.
type watched struct {
	*File
	t    *testing.T
	path string
	said []string
}

func watch(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "rules")}
	w.write(text)
	f, err := Open(w.path, func(err error) {
		if err == nil {
			w.said = append(w.said, "read")
		} else {
			w.said = append(w.said, err.Error())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.File = f
	return w
}

// write replaces the file's text and always changes its modification time.
func (w *watched) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chtimes(w.path, time.Time{}, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// want checks which clients have a block a second later, and what has been reported
// since.
func (w *watched) want(client string, said ...string) {
	w.t.Helper()
	time.Sleep(reload.Every)
	if w.Table().For(client) == nil {
		w.t.Errorf("%s has no block", client)
	}
	match := func(got, want string) bool { return strings.Contains(got, want) }
	if !slices.EqualFunc(w.said, said, match) {
		w.t.Errorf("reported %q, want %q", w.said, said)
	}
	w.said = nil
}

func TestFileIsReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "[one]")
		w.want("one")
		w.write("[two]")
		if w.Table().For("two") != nil {
			t.Error("checked the file twice within a second")
		}
		w.want("two", "read")
		w.want("two")
		w.write("nonsense") // the previous rules stay in force, and the error is reported once
		w.want("two", "rules:1: want key = value")
		w.want("two")
		w.write("# c\nother")
		w.want("two", "rules:2: want key = value")
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.want("two", "no such file")
		w.want("two")
		w.write("[two]\n[three]")
		w.want("three", "read")
		w.write("") // truncated by a program about to write it
		w.want("three")
		w.write("[four]")
		w.want("four", "read")
	})
}

func TestReload(t *testing.T) {
	w := watch(t, "[one]")
	w.write("[two]")
	if err := w.Reload(); err != nil || w.Table().For("two") == nil {
		t.Errorf("Reload = %v, want the new rules immediately", err)
	}
	w.write("[")
	if err := w.Reload(); err == nil || !strings.Contains(err.Error(), "rules:1: ") || w.Table().For("two") == nil {
		t.Errorf("Reload of a broken file = %v, want an error and the old rules", err)
	}
	var none *File
	if none.Reload() != nil || none.Table() != nil {
		t.Error("a nil file has rules")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a missing file = %v", err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("Open of a folder = %v", err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(large, nil); err == nil || !strings.Contains(err.Error(), "large is larger than") {
		t.Errorf("Open of a large file = %v", err)
	}
}
