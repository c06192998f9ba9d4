package eagersocks

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"tunnels/internal/code"
)

// rewrite gives the users of a file other passwords, and waits until they count.
func rewrite(t *testing.T, u *Users, pairs ...string) {
	t.Helper()
	writeUsers(t, u.path, pairs...)
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
			u := mustOpen(t, usersFile(t, "alice", "old"), nil)
			defer u.Close()
			d := newDialled(t)
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

			rewrite(t, u, change...)
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
				t.Error("a target was dialled for a user who was removed")
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
	u := mustOpen(t, usersFile(t, "alice", "old"), nil)
	defer u.Close()
	d := newDialled(t)
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
	rewrite(t, u, "other", "x")
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
			u := mustOpen(t, usersFile(t, "alice", "old"), nil)
			defer u.Close()
			ln := mustListen(t, (&Config{Users: u}).listenSocks)
			app := dialTo(t, ln)
			io.WriteString(app, "\x05\x01\x02\x01\x05alice\x03old")
			wantRead(t, app, "\x05\x02\x01\x00")
			rewrite(t, u, change...)
			io.WriteString(app, aRequest)
			want := string(AppendReply(nil, code.NotAllowed))
			if got, err := io.ReadAll(app); string(got) != want || err != nil {
				t.Errorf("application read %q, %v; want %q", got, err, want)
			}
		})
	}
}

// A password that is being computed when its user is removed is not right any more.
func TestRemovedUserDuringCheck(t *testing.T) {
	path := usersFile(t, "alice", "old")
	u := mustOpen(t, path, nil)
	defer u.Close()
	u.busy = make(chan struct{}) // unbuffered: a check waits until the test lets it go on
	checked := make(chan error, 1)
	go func() { checked <- u.Check(from(1), "alice", "old") }()
	<-u.busy // the check has a place, and goes on to compute
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
	u.busy <- struct{}{} // taken by the check when it has computed
	if err := <-checked; err == nil {
		t.Error("Check = nil for a user who was removed meanwhile")
	}
}
