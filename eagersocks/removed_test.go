package eagersocks

import (
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/users/userstest"
)

// errWrong is the error returned by a test's Authenticator.
var errWrong = &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}

// TestRemovedUserDuringGreeting checks that a user who is removed between the SOCKS
// greeting and the request is refused.
func TestRemovedUserDuringGreeting(t *testing.T) {
	for name, change := range map[string][]string{"removed": {"other", "x"}, "password changed": {"alice", "new"}} {
		t.Run(name, func(t *testing.T) {
			u := userstest.New(t, "alice", "old")
			ln := mustListen(t, (&Config{Users: u}).listenSocks)
			app := dialTo(t, ln)
			io.WriteString(app, "\x05\x01\x02\x01\x05alice\x03old")
			wantRead(t, app, "\x05\x02\x01\x00")
			u.Rewrite(t, change...)
			io.WriteString(app, aRequest)
			want := string(AppendReply(nil, code.NotAllowed))
			if got, err := io.ReadAll(app); string(got) != want || err != nil {
				t.Errorf("application read %q, %v; want %q", got, err, want)
			}
		})
	}
}

// TestSlowedDownIsStillBounded checks that delayed answers to wrong passwords do not
// keep the oldest connection from being dropped or the listener from closing.
func TestSlowedDownIsStillBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := userstest.New(t, "alice", "secret")
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
			t.Errorf("oldest connection: Read = %v after %v, want it closed immediately", err, time.Since(start))
		}
		u.Close()
		ln.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v, want no delay", d)
		}
		if r.count(door.ErrCrowded) != 1 || len(r.all()) != 3 {
			t.Errorf("Rejected received %v, want %v once among three", r.all(), door.ErrCrowded)
		}
		for _, c := range apps {
			c.Close()
		}
	})
}
