package eagersocks

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"tunnels/internal/users/userstest"
)

// curlBy loads a page with curl, using the proxy with the given URL scheme and user.
func curlBy(t *testing.T, w *way, scheme, user, page string) (string, int) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is not installed: run scripts/setup.sh")
	}
	proxy := scheme + "://" + user + w.door.(interface{ Addr() net.Addr }).Addr().String()
	out, err := exec.CommandContext(t.Context(), path, "-q", "-sS", "--max-time", "20", "-x", proxy, page).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// TestCurlWithUsers tests every SOCKS version that curl supports, with and without a
// password.
func TestCurlWithUsers(t *testing.T) {
	const name, password, text = "alice", "p@ss:word", "the page"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	t.Cleanup(srv.Close)
	names := map[string]string{"there.test": srv.Listener.Addr().String(), "127.0.0.1": srv.Listener.Addr().String()}
	both := url.UserPassword(name, password).String() + "@"
	id := url.User(name+":"+password).String() + "@" // SOCKS4 has no password
	const proxyFailed = 97
	for _, tt := range []struct {
		scheme, user, page string
		asked              bool
		exit               int
	}{
		{"socks4", "", srv.URL, false, 0},
		{"socks4a", "", "http://there.test/", false, 0},
		{"socks5", "", srv.URL, false, 0},
		{"socks5h", "", "http://there.test/", false, 0},
		{"socks5h", both, "http://there.test/", false, 0},
		{"socks4", id, srv.URL, true, 0},
		{"socks4a", id, "http://there.test/", true, 0},
		{"socks5", both, srv.URL, true, 0},
		{"socks5h", both, "http://there.test/", true, 0},
		{"socks4", "", srv.URL, true, proxyFailed},
		{"socks4a", "alice%3Awrong@", "http://there.test/", true, proxyFailed},
		{"socks5", "", srv.URL, true, proxyFailed},
		{"socks5h", "alice:wrong@", "http://there.test/", true, proxyFailed},
		{"socks5h", "bob:wrong@", "http://there.test/", true, proxyFailed},
	} {
		cfg := &Config{}
		if tt.asked {
			cfg.Users = userstest.New(t, name, password)
		}
		w := newWayOf(t, mustListen(t, cfg.listenSocks), On, names)
		want := text
		if tt.exit != 0 {
			want = ""
		}
		if out, exit := curlBy(t, w, tt.scheme, tt.user, tt.page); out != want || exit != tt.exit {
			t.Errorf("curl -x %s://%s (login required: %v) = %q, exit code %d; want %q, %d", tt.scheme, tt.user, tt.asked, out, exit, want, tt.exit)
		}
	}
}

// TestCurlIsSlowedDown checks that each wrong password is answered more slowly than the
// previous one.
func TestCurlIsSlowedDown(t *testing.T) {
	const slowMin = 250 * time.Millisecond // see package users
	u := userstest.New(t, "alice", "secret")
	w := newWayOf(t, mustListen(t, (&Config{Users: u}).listenSocks), On, nil)
	for i, least := range []time.Duration{0, slowMin, 2 * slowMin, 4 * slowMin} {
		scheme, user := "socks5h", "alice:wrong@"
		if i%2 > 0 {
			scheme, user = "socks4a", "alice%3Awrong@"
		}
		start := time.Now()
		if _, exit := curlBy(t, w, scheme, user, "http://there.test/"); exit == 0 {
			t.Errorf("curl with the wrong password succeeded")
		}
		if d := time.Since(start); d < least {
			t.Errorf("wrong password %d was answered after %v, want at least %v", i+1, d, least)
		}
	}
}
