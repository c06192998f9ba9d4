package users

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/lines"
	"tunnels/internal/reload"
)

func TestParseUsers(t *testing.T) {
	hash := cheap(t, "secret")
	tail := strings.Repeat("x", 53)
	for _, tt := range []struct{ text, want string }{ // want: part of the error; empty if none
		{"", ""},
		{"alice:" + hash, ""},
		{"\n# alice:\r\n  bob:" + hash + "  \r\nzoë k.:" + hash + "\n", ""},
		{"alice:$2y$05$" + tail + "\nbob:$2b$14$" + tail, ""},
		{"alice", "line 1: want name:hash"},
		{"\n\n:" + hash, "line 3: name is empty"},
		{"alice:" + hash + "\nbob:" + hash + "\nalice:" + hash, `line 3: user "alice" is already on line 1`},
		{"alice:secret", "line 1: the text after the name is not a bcrypt hash"},
		{"alice:$apr1$0123$456789", "not a bcrypt hash"},
		{"alice:$2x$05$" + tail, "not a bcrypt hash"},
		{"alice:{SHA}" + tail, "not a bcrypt hash"},
		{"alice:", "not a bcrypt hash"},
		{"alice:$2y$", "damaged"},
		{"alice:" + hash[:59], "damaged"},
		{"alice:" + hash + "=", "damaged"},
		{"alice:" + hash[:59] + "!", "damaged"},
		{"alice:" + hash[:59] + ":", "damaged"},
		{"alice:$2y$0x$" + tail, "damaged"},
		{"alice:$2y$05x" + tail, "damaged"},
		{"alice:$2y$03$" + tail, "cost 3: want 4 to 14"},
		{"alice:$2y$15$" + tail, "cost 15: want 4 to 14"},
		{"al\x00ice:" + hash, "control character"},
		{"al\xffice:" + hash, "not UTF-8"},
		{"alice :" + hash, "ends with a space"},
		{strings.Repeat("a", 256) + ":" + hash, "256 bytes"},
	} {
		_, _, err := parseUsers(tt.text)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parseUsers(%q) = %v, want error %q", tt.text, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), tail[:9]) || strings.Contains(err.Error(), hash[7:20]) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("parseUsers(%q) = %v, which contains the hash", tt.text, err)
		}
	}
}

func TestOpenUsersRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	os.WriteFile(bad, []byte("alice:secret\n"), 0o600)
	large := filepath.Join(dir, "large")
	os.WriteFile(large, bytes.Repeat([]byte("#\n"), lines.MaxFile), 0o600)
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "users file: ",
		dir:                        "is not a file",
		bad:                        "line 1: ",
		large:                      "larger than",
	} {
		_, err := Open(path, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v, want an error that contains %q", path, err, want)
		}
	}
}

// TestUsersAreReloaded checks that changes apply within a second, and that an invalid
// file changes nothing.
func TestUsersAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := usersFile(t, "alice", "secret")
		var reported []error
		u := mustOpen(t, path, func(err error) { reported = append(reported, err) })
		n := byte(0)
		check := func(name, password string, want code.Code, reports int) {
			t.Helper()
			n++
			expect(t, u, n, name, password, want, 0)
			if len(reported) != reports {
				t.Errorf("%d reports: %v, want %d", len(reported), reported, reports)
			}
		}
		check("alice", "secret", code.OK, 0)
		writeUsers(t, path, "alice", "other", "bob", "hush")
		check("bob", "hush", code.NotAuthorised, 0) // not reloaded yet
		time.Sleep(reload.Every)
		check("bob", "hush", code.OK, 1)
		check("alice", "secret", code.NotAuthorised, 1)
		check("alice", "other", code.OK, 1)

		os.WriteFile(path, []byte("nonsense"), 0o600)
		for range 3 {
			time.Sleep(reload.Every)
			check("bob", "hush", code.OK, 2)
		}
		os.Remove(path)
		for range 3 {
			time.Sleep(reload.Every)
			check("carol", "hush", code.NotAuthorised, 3)
		}
		if reported[0] != nil || reported[1] == nil || !errors.Is(reported[2], fs.ErrNotExist) {
			t.Errorf("reports = %v, want nil, nonsense, no file", reported)
		}
		writeUsers(t, path, "carol", "hush")
		if err := u.Reload(); err != nil { // immediate, without waiting for the next check
			t.Error(err)
		}
		check("carol", "hush", code.OK, 3)
		check("bob", "hush", code.NotAuthorised, 3)
		os.WriteFile(path, []byte("nonsense"), 0o600)
		if err := u.Reload(); err == nil {
			t.Error("Reload of nonsense = nil")
		}
		time.Sleep(reload.Every)
		check("carol", "hush", code.OK, 3) // already loaded by Reload
	})
}

// TestTouchedFileReportsNothing checks that if only the file's time changes, nothing is
// reported and unchanged hashes are not recomputed.
func TestTouchedFileReportsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := usersFile(t, "alice", "secret")
		u := mustOpen(t, path, func(err error) { t.Errorf("reported %v, want nothing", err) })
		expect(t, u, 1, "alice", "secret", code.OK, 0)
		before := u.find("alice")
		at := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reload.Every)
		expect(t, u, 1, "alice", "secret", code.OK, 0)
		if u.find("alice") != before || before.good.Load() == nil {
			t.Error("the user was not reused")
		}
	})
}

func TestAddAndRemoveUsers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	add := func(name, password string, replaces bool) {
		t.Helper()
		if replaced, err := Add(path, name, password); err != nil || replaced != replaces {
			t.Errorf("Add(%s) = %v, %v; want %v", name, replaced, err, replaces)
		}
	}
	add("alice", "secret", false)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v, %v; want mode 0600", info.Mode(), err)
	}
	// Other content is preserved, even without a final newline.
	text, _ := os.ReadFile(path)
	os.WriteFile(path, append([]byte("# ours\n"), bytes.TrimSpace(text)...), 0o600)
	add("bob", "hush", false)
	os.Chmod(path, 0o640)
	add("alice", "other", true)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("file is %v, %v; want the mode it had, 0640", info.Mode(), err)
	}
	if text, _ := os.ReadFile(path); !bytes.HasPrefix(text, []byte("# ours\nalice:$2a$10$")) || bytes.Count(text, []byte("\n")) != 3 {
		t.Errorf("file is %q", text)
	}
	names, err := List(path)
	if want := []string{"alice", "bob"}; !reflect.DeepEqual(names, want) || err != nil {
		t.Errorf("List = %q, %v; want %q", names, err, want)
	}
	u := mustOpen(t, path, nil)
	for _, pair := range [][2]string{{"alice", "other"}, {"bob", "hush"}} {
		if err := u.Check(nil, pair[0], pair[1]); err != nil {
			t.Errorf("Check(%s) = %v", pair, err)
		}
	}
	if err := Remove(path, "alice"); err != nil {
		t.Error(err)
	}
	if names, err := List(path); !reflect.DeepEqual(names, []string{"bob"}) || err != nil {
		t.Errorf("List = %q, %v; want only bob", names, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files left in the folder: %v", left)
	}
}

func TestEditingUsersRefuses(t *testing.T) {
	path := usersFile(t, "alice", "secret")
	before, _ := os.ReadFile(path)
	refused := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s = %v, want an error that contains %q", what, err, want)
		}
	}
	for password, want := range map[string]string{"": "empty", "hush\x00": "zero byte", strings.Repeat("hush", 19): "76 bytes"} {
		_, err := Add(path, "bob", password)
		refused("Add", err, want)
	}
	for name, want := range map[string]string{"": "empty", "a:b": "colon", "#a": "comment", " a": "space"} {
		_, err := Add(path, name, "hush")
		refused("Add", err, want)
	}
	refused("Remove", Remove(path, "bob"), `no user "bob"`)
	refused("Remove", Remove(path+"x", "bob"), path+"x")
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Errorf("the file changed to %q", after)
	}
	os.WriteFile(path+".new", nil, 0o600)
	_, err := Add(path, "bob", "hu-sh")
	refused("Add", err, "another tunnels process is changing")
	os.Remove(path + ".new")
	os.WriteFile(path, []byte("bob:hush\n"), 0o600)
	_, err = Add(path, "bob", "hu-sh")
	refused("Add", err, "line 1: ")
	refused("Remove", Remove(path, "bob"), "line 1: ")
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file was left behind: %v", err)
	}
}

// FuzzUsersFile checks that every user in an accepted file can be found and its hash
// compared, that the file parses the same after being rewritten, and that errors never
// quote the text after a name.
func FuzzUsersFile(f *testing.F) {
	hash := "$2y$05$" + strings.Repeat("x", 53)
	for _, s := range []string{
		"alice:" + hash, "# no\n\nalice:" + hash + "\r\nbob:" + hash, "alice:" + hash + "\nalice:" + hash,
		"alice", "alice:secret", ":" + hash, "a:b:" + hash, "alice:$2y$99$" + strings.Repeat(".", 53), "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := newUserList(string(text), nil)
		if err != nil {
			for line := range strings.Lines(string(text)) {
				if _, secret, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && len(secret) > 24 && strings.Contains(err.Error(), secret) {
					t.Errorf("error %q contains %q", err, secret)
				}
			}
			return
		}
		names, hashes, _ := parseUsers(string(text))
		if len(names) != len(l.users) || len(names) != len(hashes) {
			t.Fatalf("%q: %d names, %d users", text, len(names), len(l.users))
		}
		var again []byte
		for _, n := range names {
			if !bytes.Equal(l.users[n].hash, hashes[n]) || checkUserName(n) != nil {
				t.Errorf("%q: user %q has hash %q", text, n, l.users[n].hash)
			}
			again = append(again, n+":"+string(hashes[n])+"\n"...)
		}
		if m, _, err := parseUsers(string(again)); err != nil || !reflect.DeepEqual(m, names) {
			t.Errorf("%q reads back as %q, %v", text, m, err)
		}
	})
}

// TestByteOrderMark checks that a byte order mark is not part of the first name.
func TestByteOrderMark(t *testing.T) {
	path := usersFile(t, "alice", "secret")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("\ufeff"), text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if names, err := List(path); err != nil || !slices.Equal(names, []string{"alice"}) {
		t.Errorf("List = %q, %v, want alice", names, err)
	}
}
