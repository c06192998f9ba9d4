package httpdoor

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tunnels/internal/code"
	"tunnels/internal/door"
)

// oneUser accepts one name and password, and counts the calls to Check.
type oneUser struct {
	mu    sync.Mutex
	asked int // guarded by mu
}

func (u *oneUser) Check(remote net.Addr, name, password string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if remote == nil || name != "me" || password != "a:b" {
		return errWrong
	}
	return nil
}

// busyOnce reports overload on the first Check and accepts all later ones.
type busyOnce struct{ asked atomic.Int32 }

func (u *busyOnce) Check(net.Addr, string, string) error {
	if u.asked.Add(1) == 1 {
		return &code.Error{Code: code.Overload, Text: "too many waiting"}
	}
	return nil
}

// TestProxyAuthenticationOverloaded checks that a password that could not be checked is
// not reported as wrong, and is checked again for the next request.
func TestProxyAuthenticationOverloaded(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\nContent-Length: 0\n\n"
	request := "GET http://a.test/ HTTP/1.1\nHost: a.test\n" + basic("me:b") + "\n"
	s := runScript(t, []step{{dial: "a.test:80", want: "GET / HTTP/1.1\nHost: a.test\n\n", answer: answer, hangUp: true}})
	got := newRig(t, &Config{Users: new(busyOnce)}, s.dial).heard(t, lines(request+request))
	if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.HasSuffix(got, lines(answer)) {
		t.Errorf("application read %q, want 503 and then the response", got)
	}
	s.wait()
}

// TestProxyAuthenticationReported checks that each distinct wrong password is reported
// once, and never in full.
func TestProxyAuthenticationReported(t *testing.T) {
	reported := make(chan error, 8)
	conf := &Config{Users: new(oneUser), Rejected: func(_ string, err error) { reported <- err }}
	request := "GET http://a.test/ HTTP/1.1\nHost: a.test\n"
	newRig(t, conf, nobody(t)).said(t, lines(request+basic("me:one")+"\n"+request+basic("me:one")+"\n"+strings.Repeat(request+basic("me:two")+"\n", refusalsMax-2)))
	if n := len(reported); n != 2 {
		t.Fatalf("%d reports, want one for each wrong password", n)
	}
	if err := <-reported; !errors.Is(err, errWrong) || strings.Contains(err.Error(), "one") {
		t.Errorf("reported: %v, want %v", err, errWrong)
	}
}

// TestUnauthenticatedAreLimited checks that the number of connections that have not
// sent a correct password is limited.
func TestUnauthenticatedAreLimited(t *testing.T) {
	reported := make(chan error, 1)
	d := newDialed(t)
	rig := newRig(t, &Config{Users: &oneUser{}, UnauthenticatedMax: 2, Rejected: func(_ string, err error) { reported <- err }}, d.dial)
	friend := rig.app(t)
	io.WriteString(friend, lines("GET http://a.test/ HTTP/1.1\nHost: a.test\n"+basic("me:a:b")+"\n"))
	far := d.next(t)
	wantRead(t, far, gotGet)
	var others []*net.TCPConn
	for range 3 {
		app := rig.app(t)
		io.WriteString(app, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
		wantRead(t, app, "HTTP/1.1 200 OK\r\n")
		others = append(others, app)
	}
	if err := <-reported; !errors.Is(err, door.ErrCrowded) {
		t.Errorf("reported: %v, want %v", err, door.ErrCrowded)
	}
	if _, err := io.ReadAll(others[0]); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the oldest unauthenticated application read %v, want a reset", err)
	}
	for _, app := range others[1:] {
		io.WriteString(app, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
		if got, err := io.ReadAll(app); err != nil || !strings.Contains(string(got), "HTTP/1.1 407 ") {
			t.Errorf("a later one read %q, %v; want 407", got, err)
		}
	}
	io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	wantRead(t, friend, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

func basic(user string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user)) + "\n"
}

func TestProxyAuthentication(t *testing.T) {
	const get, connect = "GET http://a.test/ HTTP/1.1\nHost: a.test\n", "CONNECT a.test:443 HTTP/1.1\n"
	const refused = "HTTP/1.1 407 Proxy Authentication Required\r\n"
	for _, begin := range []string{get, connect} {
		for name, header := range map[string]string{
			"none":          "",
			"wrong":         basic("me:b"),
			"nobody":        basic("you:a:b"),
			"no colon":      basic("me"),
			"not base64":    "Proxy-Authorization: Basic !\n",
			"other scheme":  "Proxy-Authorization: Bearer bWU6YTpi\n",
			"origin's only": strings.Replace(basic("me:a:b"), "Proxy-", "", 1),
		} {
			rig := newRig(t, &Config{Users: &oneUser{}}, nobody(t))
			got := rig.said(t, lines(strings.Repeat(begin+header+"\n", refusalsMax+1)))
			if n := strings.Count(got, refused+"Content-Type"); n != refusalsMax {
				t.Errorf("%s, %q: %d refusals, want %d and EOF: %q", begin, name, n, refusalsMax, got)
			}
			if n := strings.Count(got, "\r\nProxy-Authenticate: Basic realm=\"tunnels\"\r\n"); n != refusalsMax {
				t.Errorf("%s, %q: the scheme appears %d times in %q", begin, name, n, got)
			}
		}
	}
	t.Run("right", func(t *testing.T) {
		users := &oneUser{}
		ok := basic("me:a:b")
		const gotten, answer = "GET / HTTP/1.1\nHost: a.test\n\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"
		s := runScript(t, []step{{dial: "a.test:80", want: gotten, answer: answer}, {want: gotten, answer: answer, hangUp: true},
			{dial: "a.test:443", want: "early", answer: "late", hangUp: true}})
		got := newRig(t, &Config{Users: users}, s.dial).heard(t, lines(get+"\n"+get+ok+"\n"+get+ok+"\n"+connect+ok+"\nearly"))
		if want := lines(answer + answer + "HTTP/1.1 200 Connection established\n\nlate"); !strings.HasPrefix(got, refused) || !strings.HasSuffix(got, want) {
			t.Errorf("application read %q, want a refusal and then %q", got, want)
		}
		s.wait()
		if users.asked != 3 {
			t.Errorf("the password was checked %d times, want once for each of 3 requests, because the user may have been removed", users.asked)
		}
	})
	t.Run("CONNECT first", func(t *testing.T) {
		s := runScript(t, []step{{dial: "a.test:443", want: "early", answer: "late", hangUp: true}})
		got := newRig(t, &Config{Users: &oneUser{}}, s.dial).heard(t, lines(connect+basic("me:a:b")+"\nearly"))
		if want := lines("HTTP/1.1 200 Connection established\n\nlate"); got != want {
			t.Errorf("application read %q, want %q", got, want)
		}
		s.wait()
	})
}

// TestPagesOfThePort checks that the port's own pages require no password, and that no
// others are served.
func TestPagesOfThePort(t *testing.T) {
	rig := newRig(t, &Config{Users: &oneUser{}, PACDirect: mustPAC(t, "intern.test")}, nobody(t))
	local := rig.app(t).RemoteAddr().String()
	for _, tt := range []struct {
		request string
		status  int
		want    []string
	}{
		{"GET / HTTP/1.1\nHost: me.test:1080\n", 200, []string{"text/html", "http://me.test:1080/proxy.pac", "<code>1080</code>", "requires a name", "default-src 'none'"}},
		{"GET /?x HTTP/1.1\nHost: [::1]:1080\n", 200, []string{"<code>::1</code>", "[::1]:1080"}},
		{"GET /proxy.pac HTTP/1.1\nHost: me.test:1080\n", 200, []string{"application/x-ns-proxy-autoconfig", `"PROXY me.test:1080"`, `"=intern.test":1`, "no-cache"}},
		{"GET /proxy.pac?v=2 HTTP/1.1\nHost: me.test\n", 200, []string{`"PROXY me.test:80"`}},
		{"GET /proxy.pac HTTP/1.0\n", 200, []string{`"PROXY ` + local + `"`}},
		{"GET /proxy.pac HTTP/1.1\nHost: x;DIRECT:1\n", 200, []string{`"PROXY ` + local + `"`}},
		{"GET /proxy.pac HTTP/1.1\nHost: x'(1\n", 200, []string{`"PROXY ` + local + `"`}},
		{"HEAD /proxy.pac HTTP/1.1\nHost: me.test\n", 200, []string{"application/x-ns-proxy-autoconfig"}},
		{"POST /proxy.pac HTTP/1.1\nHost: me.test\n", 405, []string{"Allow: GET, HEAD"}},
		{"GET /other HTTP/1.1\nHost: www.test\n", 404, []string{"/proxy.pac"}},
		{"GET //evil.test/ HTTP/1.1\nHost: evil.test\n", 404, nil},
		{"GET /%2e HTTP/1.1\nHost: evil.test\n", 404, nil},
		{"OPTIONS * HTTP/1.1\nHost: evil.test\n", 404, nil},
	} {
		got := rig.said(t, lines(tt.request+"Connection: close\n\n"))
		for _, want := range append(tt.want, fmt.Sprintf("HTTP/1.1 %d ", tt.status), "nosniff") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: application read %q, want %q in it", tt.request, got, want)
			}
		}
		if _, body, _ := strings.Cut(got, "\r\n\r\n"); strings.HasPrefix(tt.request, "HEAD") != (body == "") {
			t.Errorf("%s: body is %q", tt.request, body)
		}
	}
	open := newRig(t, new(Config), nobody(t))
	if got := open.said(t, lines("GET / HTTP/1.1\nHost: me.test:1080\nConnection: close\n\n")); strings.Contains(got, "requires a name") || strings.Contains(got, "{") && strings.Contains(got, "}}") {
		t.Errorf("without users the help page is %q", got)
	}
	if got := (&Door{}).where(&net.UnixAddr{Name: "/run/x"}, &request{}); got != "127.0.0.1:1080" {
		t.Errorf("on a UNIX socket, where() = %q", got)
	}
}

// TestPagesThroughNetHTTP checks that the standard library's client can read the pages,
// all on one connection.
func TestPagesThroughNetHTTP(t *testing.T) {
	rig := newRig(t, new(Config), nobody(t))
	app := rig.app(t)
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return app, nil }}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	for _, path := range []string{"/", "/proxy.pac", "/nothing", "/"} {
		resp, err := client.Get("http://" + app.RemoteAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || int64(len(body)) != resp.ContentLength {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(body), err, resp.ContentLength)
		}
		resp.Body.Close()
	}
}
