package httpdoor

import (
	"io"
	"net"
	"strings"
	"testing"

	"tunnels/internal/code"
	"tunnels/internal/users/userstest"
)

// errWrong is the error returned by the tests' Authenticator.
var errWrong = &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}

// TestRemovedUserOnOpenConnection checks that a user who was removed, or whose password
// was changed, cannot make further requests on an open connection, and that requests in
// progress continue.
func TestRemovedUserOnOpenConnection(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, change := range map[string][]string{
		"removed":          {"other", "x"},
		"password changed": {"alice", "new"},
		"none left":        {},
	} {
		t.Run(name, func(t *testing.T) {
			u := userstest.New(t, "alice", "old")
			d := newDialed(t)
			rig := newRig(t, &Config{Users: u}, d.dial)
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

			u.Rewrite(t, change...)
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
			io.WriteString(slow, ok) // the response to the earlier request
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

// discardPage reads the rest of a page whose status has been read.
func discardPage(t *testing.T, c net.Conn) {
	t.Helper()
	var b []byte
	for !strings.HasSuffix(string(b), "a valid name and password.\n") {
		p := make([]byte, 1)
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatalf("read %q, %v; want the rest of a page", b, err)
		}
		b = append(b, p...)
	}
}

// TestRemovedUserIsUnauthenticated checks that a removed user's connections count as
// unauthenticated again, so their number is limited.
func TestRemovedUserIsUnauthenticated(t *testing.T) {
	u := userstest.New(t, "alice", "old")
	d := newDialed(t)
	rig := newRig(t, &Config{Users: u, UnauthenticatedMax: 1}, d.dial)
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
	u.Rewrite(t, "other", "x")
	for _, app := range apps {
		io.WriteString(app, get)
		wantRead(t, app, "HTTP/1.1 407 ")
		discardPage(t, app)
	}
	if _, err := io.ReadAll(apps[0]); err == nil {
		t.Error("the first of two unauthenticated connections is still open, want it closed because the limit is one")
	}
}
