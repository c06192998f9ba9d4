package reload

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a file under test. Its content is its text, which is valid unless it is
// "bad".
type kept struct {
	*File[string]
	t    *testing.T
	said []string
}

func keep(t *testing.T, text string, keepIfEmpty bool) *kept {
	t.Helper()
	k := &kept{t: t}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(Config[string]{
		Path: path, Kind: "test", KeepIfEmpty: keepIfEmpty,
		Parse: func(text string, _ *string) (*string, error) {
			if text == "bad" {
				return nil, errors.New("bad")
			}
			return &text, nil
		},
		Report: func(err error) {
			if err == nil {
				err = errors.New("read")
			}
			k.said = append(k.said, err.Error())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.File = f
	return k
}

func (k *kept) write(text string) {
	k.t.Helper()
	if err := os.WriteFile(k.Path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// want checks which content is in force a second later, and what was reported in the
// meantime.
func (k *kept) want(text string, said ...string) {
	k.t.Helper()
	time.Sleep(Every)
	k.Look()
	if *k.Now() != text || !slices.Equal(k.said, said) {
		k.t.Errorf("%q, reported %q; want %q, %q", *k.Now(), k.said, text, said)
	}
	k.said = nil
}

// TestFile checks that changes are loaded within a second, and that an error is
// reported once and changes nothing.
func TestFile(t *testing.T) {
	for _, keepIfEmpty := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t, "one", keepIfEmpty)
			k.want("one")
			k.write("two")
			k.want("two", "read")
			k.want("two")
			k.write("bad")
			k.want("two", "bad")
			k.want("two")
			k.write("two")
			k.want("two", "read") // valid again
			k.write("")
			if keepIfEmpty {
				k.want("two")
			} else {
				k.want("", "read")
			}
			k.write("bad")
			if err := k.Reload(); err == nil {
				t.Error("Reload of bad = nil")
			}
			k.said = nil
			k.want(*k.Now()) // the error was returned by Reload, so it is not reported
			k.write("three")
			if err := k.Reload(); err != nil || *k.Now() != "three" {
				t.Errorf("Reload = %v, %q", err, *k.Now())
			}
			k.want("three")
		})
	}
}

// TestSettledFileIsNotRead checks that a file is not read if its info is unchanged and
// it has not been modified for a while. File times come from the system clock, so this
// does not use synctest.
func TestSettledFileIsNotRead(t *testing.T) {
	k := keep(t, "one", false)
	old := time.Now().Add(-time.Hour)
	stamp := func() {
		if err := os.Chtimes(k.Path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	stamp()
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	k.write("two") // of the same length
	stamp()
	k.mu.Lock()
	k.looked = time.Time{}
	k.mu.Unlock()
	if k.Look(); *k.Now() != "one" {
		t.Error("the file was read although its stamp is unchanged")
	}
	if err := k.Reload(); err != nil || *k.Now() != "two" {
		t.Errorf("Reload = %v, %q", err, *k.Now())
	}
}
