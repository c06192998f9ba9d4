package eagersocks

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/users"
)

// errWrong is what an Authenticator of a test says.
var errWrong = &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}

// usersFile is a file of users that may change.
type usersFile struct {
	*users.Users
	path string
}

// newUsersFile makes one of names and passwords, one behind the other.
func newUsersFile(t testing.TB, pairs ...string) *usersFile {
	t.Helper()
	u := &usersFile{path: filepath.Join(t.TempDir(), "users")}
	u.write(t, pairs...)
	var err error
	if u.Users, err = users.Open(u.path, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func (u *usersFile) write(t testing.TB, pairs ...string) {
	t.Helper()
	var text strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		hash, err := bcrypt.GenerateFromPassword([]byte(pairs[i+1]), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s:%s\n", pairs[i], hash)
	}
	if err := os.WriteFile(u.path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewrite gives it other users, and waits until they count.
func (u *usersFile) rewrite(t testing.TB, pairs ...string) {
	t.Helper()
	u.write(t, pairs...)
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
}

// A user who was removed, or whose password was changed, gets no further request on
// a connection that is open; what is running goes on.
func TestRemovedUserOnOpenConnection(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, change := range map[string][]string{
		"removed":          {"other", "x"},
		"password changed": {"alice", "new"},
		"nobody left":      {},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUsersFile(t, "alice", "old")
			d := newDialed(t)
			rig := newWebRig(t, &Config{Users: u}, d.dial)
			get := lines("GET http://a.test/ HTTP/1.1\nHost: a.test\n" + basic("alice:old") + "\n")
			connect := lines("CONNECT a.test:443 HTTP/1.1\n" + basic("alice:old") + "\n")
			kept, busy, first, later := rig.app(t), rig.app(t), rig.app(t), rig.app(t)
			io.WriteString(kept, get)
			far := d.next(t)
			wantRead(t, far, gotGet)
			io.WriteString(far, ok)
			wantRead(t, kept, ok)
			io.WriteString(busy, get)
			slow := d.next(t)
			wantRead(t, slow, gotGet)
			io.WriteString(first, connect)
			tunnel := d.next(t)
			wantRead(t, first, "HTTP/1.1 200 Connection established\r\n\r\n")
			io.WriteString(later, lines("HEAD / HTTP/1.1\nHost: a\n\n")+connect)
			tunnel2 := d.next(t)

			u.rewrite(t, change...)
			for range 2 {
				io.WriteString(kept, get)
				wantRead(t, kept, "HTTP/1.1 407 ")
				discardPage(t, kept)
			}
			if name == "password changed" {
				io.WriteString(kept, strings.Replace(get, basicValue("alice:old"), basicValue("alice:new"), 1))
				wantRead(t, far, gotGet)
				io.WriteString(far, ok)
				wantRead(t, kept, ok)
			}
			io.WriteString(slow, ok) // the answer to what was asked before
			wantRead(t, busy, ok)
			io.WriteString(busy, connect)
			wantRead(t, busy, "HTTP/1.1 407 ")
			for app, far := range map[net.Conn]net.Conn{first: tunnel, later: tunnel2} {
				io.WriteString(app, "ping")
				wantRead(t, far, "ping")
			}
			if len(d) > 0 {
				t.Error("a target was dialed for a user who was removed")
			}
		})
	}
}

func basicValue(user string) string {
	return strings.TrimSpace(strings.TrimPrefix(basic(user), "Proxy-Authorization: "))
}

// discardPage reads the rest of a page, of which the status has been read.
func discardPage(t *testing.T, c net.Conn) {
	t.Helper()
	var b []byte
	for !strings.HasSuffix(string(b), "that it knows.\n") {
		p := make([]byte, 1)
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatalf("read %q, %v; want the rest of a page", b, err)
		}
		b = append(b, p...)
	}
}

// Who was removed counts as a stranger again, so that he cannot keep connections.
func TestRemovedUserIsAStranger(t *testing.T) {
	u := newUsersFile(t, "alice", "old")
	d := newDialed(t)
	rig := newWebRig(t, &Config{Users: u, PendingMax: 1}, d.dial)
	get := lines("GET http://a.test/ HTTP/1.1\nHost: a.test\n" + basic("alice:old") + "\n")
	var apps []*net.TCPConn
	for range 2 {
		app := rig.app(t)
		io.WriteString(app, get)
		far := d.next(t)
		wantRead(t, far, gotGet)
		io.WriteString(far, "HTTP/1.1 204 No\r\n\r\n")
		wantRead(t, app, "HTTP/1.1 204 No\r\n\r\n")
		apps = append(apps, app)
	}
	u.rewrite(t, "other", "x")
	for _, app := range apps {
		io.WriteString(app, get)
		wantRead(t, app, "HTTP/1.1 407 ")
		discardPage(t, app)
	}
	if _, err := io.ReadAll(apps[0]); err == nil {
		t.Error("the first of two strangers was not pushed out, though one is the limit")
	}
}

// A user who is removed between a SOCKS greeting and its request is refused.
func TestRemovedUserDuringGreeting(t *testing.T) {
	for name, change := range map[string][]string{"removed": {"other", "x"}, "password changed": {"alice", "new"}} {
		t.Run(name, func(t *testing.T) {
			u := newUsersFile(t, "alice", "old")
			ln := mustListen(t, (&Config{Users: u}).listenSocks)
			app := dialTo(t, ln)
			io.WriteString(app, "\x05\x01\x02\x01\x05alice\x03old")
			wantRead(t, app, "\x05\x02\x01\x00")
			u.rewrite(t, change...)
			io.WriteString(app, aRequest)
			want := string(AppendReply(nil, code.NotAllowed))
			if got, err := io.ReadAll(app); string(got) != want || err != nil {
				t.Errorf("application read %q, %v; want %q", got, err, want)
			}
		})
	}
}

// TestSlowedDownIsStillBounded: the listener ends with its Users, though somebody
// waits to be told that his password is wrong.
func TestSlowedDownIsStillBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUsersFile(t, "alice", "secret")
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{Users: u, PendingMax: 2, Rejected: r.add}).NewSocksListener(a)
		for i := range 6 {
			u.Check(nil, "alice", fmt.Sprint(i))
		}
		start := time.Now()
		var apps []net.Conn
		for range 3 {
			app := a.connect()
			app.Write([]byte("\x05\x01\x02"))
			wantRead(t, app, "\x05\x02")
			app.Write([]byte("\x01\x05alice\x01x"))
			apps = append(apps, app)
		}
		if _, err := apps[0].Read(make([]byte, 1)); err == nil || time.Since(start) != 0 {
			t.Errorf("oldest connection: Read = %v after %v, want an end at once", err, time.Since(start))
		}
		u.Close()
		ln.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v, want no time", d)
		}
		if r.count(door.ErrCrowded) != 1 || len(r.all()) != 3 {
			t.Errorf("Rejected was told %v, want %v once among three", r.all(), door.ErrCrowded)
		}
		for _, c := range apps {
			c.Close()
		}
	})
}
