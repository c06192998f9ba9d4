//go:build unix

package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// httpFoe is a request, with \n for CR LF and TARGET for the recording target's
// host:port, and the statuses allowed for the response. If 200 is not among them, the
// target must not receive any data.
type httpFoe struct {
	name, say string
	status    []int // empty means any status, or none
}

const post = "POST http://TARGET/a HTTP/1.1\nHost: TARGET\n"
const smuggled = "GET /smuggled HTTP/1.1\nHost: TARGET\n\n"

// field returns a request with an additional field.
func field(f string) string { return "GET http://TARGET/a HTTP/1.1\nHost: TARGET\n" + f + "\n\n" }

// lengthFoes returns requests with several or invalid lengths.
func lengthFoes() (all []httpFoe) {
	no := []int{400, 501}
	for _, f := range []string{"Content-Length: 5\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: +5", "Content-Length: -1", "Content-Length: 0x5",
		"Content-Length: 5_0", "Content-Length: ", "Content-Length: 5 5", "Content-Length: 99999999999999999999", "Content-Length : 5", "Content-Length\t: 5",
		"Content-Length: 5\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\nContent-Length: 5",
		"Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, gzip",
		"Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: identity", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding : chunked",
		"Transfer-Encoding:\n chunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: ", "X: y\n Content-Length: 3", "X: y\n\tz"} {
		all = append(all, httpFoe{f, post + f + "\n\n0\n\n" + smuggled, no})
	}
	all = append(all,
		httpFoe{"two equal lengths", post + "Content-Length: 3\nContent-Length: 3\n\nabc", []int{200, 400}},
		httpFoe{"chunked in HTTP/1.0", strings.Replace(post, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\n\n0\n\n" + smuggled, no},
		httpFoe{"length named in Connection", post + "Connection: Content-Length\nContent-Length: 51\n\n" + smuggled, nil},
		httpFoe{"coding named in Connection", post + "Connection: Transfer-Encoding\nTransfer-Encoding: chunked\n\n0\n\n", nil},
		httpFoe{"early response", strings.Replace(post, "/a", "/early", 1) + "Expect: 100-continue\nContent-Length: 51\n\n" + smuggled, nil},
		httpFoe{"unknown expectation", post + "Expect: miracle\nContent-Length: 3\n\nabc", nil})
	return all
}

// fieldFoes returns requests with invalid heads.
func fieldFoes() (all []httpFoe) {
	no := []int{400, 431, 501, 505}
	for _, f := range []string{"Host: other.example", "no colon", ": no name", "X Y: z", "X\x00: y", "X: a\x00b", "X: a\rb", "X: a\rHost: b", " X: y", "X\xff: y", "X: \x01", "X@: y", "X: a\x7fb",
		"X: " + strings.Repeat("y", 5<<20), strings.Repeat("X: y\n", 200_000) + "X: y"} {
		all = append(all, httpFoe{fmt.Sprintf("field %.40q", f), field(f), no})
	}
	for _, h := range []string{"GET http://TARGET/a HTTP/1.1\n\n", "GET http://TARGET/a HTTP/1.1\nHost: a b\n\n", "GET http://TARGET/a HTTP/1.1\nHost: u@TARGET, x\n\n",
		"GET http://TARGET/a HTTP/1.1 \nHost: TARGET\n\n", "GET  http://TARGET/a HTTP/1.1\nHost: TARGET\n\n", "GET http://TARGET/a b HTTP/1.1\nHost: TARGET\n\n",
		"GET http://TARGET/a HTTP/9.9\nHost: TARGET\n\n", "GET http://TARGET/a HTTP/2.0\nHost: TARGET\n\n", "GET http://TARGET/a HTTP/1.1x\nHost: TARGET\n\n",
		"GET http://TARGET/a http/1.1\nHost: TARGET\n\n", "GET http://TARGET/a\n\n", "G\x00T http://TARGET/a HTTP/1.1\nHost: TARGET\n\n",
		"GE(T http://TARGET/a HTTP/1.1\nHost: TARGET\n\n", "PRI * HTTP/2.0\n\nSM\n\n", "GET http://TARGET/a\tHTTP/1.1\nHost: TARGET\n\n",
		"GET http://TARGET/\x01 HTTP/1.1\nHost: TARGET\n\n", "GET http://TARGET/" + strings.Repeat("a", 5<<20) + " HTTP/1.1\nHost: TARGET\n\n"} {
		all = append(all, httpFoe{fmt.Sprintf("head %.60q", h), h, append(no, 414)})
	}
	return all
}

// targetFoes returns requests with invalid targets.
func targetFoes() (all []httpFoe) {
	for _, u := range []string{"ftp://TARGET/", "https://TARGET/", "file:///etc/passwd", "http:///a", "http://", "http:a", "//TARGET/a", "http://127.0.0.1:0/", "http://127.0.0.1:99999/",
		"http://127.0.0.1:-1/", "http://127.0.0.1:x/", "http://[::1/", "http://[::1]x/", "http://127.0.0.1:80:80/", "http://a%00b/", "http://a%0d%0ab/", "http://a%20b/",
		"http://:80/", "*", "TARGET", "http://[]/", "http://[127.0.0.1]:1/", "javascript:alert(1)", "http://a\\b/", "http://%zz/", "gopher://TARGET/_x"} {
		// The Host header names the target, so a proxy that trusts it would connect
		// there.
		all = append(all, httpFoe{"GET " + u, "GET " + u + " HTTP/1.1\nHost: TARGET\n\n", []int{400, 403, 404, 405, 421, 501, 502}})
	}
	for _, u := range []string{"127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:-1", "http://TARGET/", "/TARGET", "u@TARGET", ":80", "", "[::1]", "[::1:80",
		"a b:80", "127.0.0.1:80:80", "*", "TARGET/x", "TARGET?x", "TARGET#x", "a%0d%0ab:80", "[::1%lo]:80", "127.0.0.1:+80", "127.0.0.1:http"} {
		all = append(all, httpFoe{"CONNECT " + u, "CONNECT " + u + " HTTP/1.1\nHost: TARGET\n\n", []int{400, 403, 404, 405, 501, 502}})
	}
	return all
}

// chunkFoes returns requests with invalid bodies, whose heads may already have been
// forwarded.
func chunkFoes() (all []httpFoe) {
	for _, body := range []string{"0x3\nabc\n0\n\n", "+3\nabc\n0\n\n", "-3\nabc\n0\n\n", "3_\nabc\n0\n\n", "\nabc\n0\n\n", "3\nabcd\n0\n\n", "3\nabc0\n\n", "fffffffffffffffff\nabc\n0\n\n", "ffffffffffffffff\nabc\n0\n\n", "g\nabc\n0\n\n",
		" 3\nabc\n0\n\n", "3;" + strings.Repeat("x", 1<<20) + "\nabc\n0\n\n", strings.Repeat("1;"+strings.Repeat("x", 2000)+"\na\n", 2000) + "0\n\n",
		"0\nbad trailer\n\n", "0\n: x\n\n", "0\n" + strings.Repeat("T: y\n", 200_000) + "\n", "3;a\rb\nabc\n0\n\n", "3\rabc\r0\r\r"} {
		all = append(all, httpFoe{fmt.Sprintf("chunk %.30q", body), post + "Transfer-Encoding: chunked\n\n" + body + smuggled, nil})
	}
	return all
}

func (f httpFoe) play(t testing.TB, client *process, target *recorder) (status int, told, seen string) {
	t.Helper()
	say := strings.ReplaceAll(strings.ReplaceAll(f.say, "\n", "\r\n"), "TARGET", target.Addr)
	b, how := foe(t, client.Addr, []byte(say), true, patience)
	if how == stays {
		t.Errorf("%s: the connection is still open, received %s", f.name, brief(string(b)))
	}
	if r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(b))), nil); err == nil {
		r.Body.Close()
		status = r.StatusCode
	}
	return status, string(b), target.take()
}

// TestAdversaryHTTPRefused checks that a request with an ambiguous or invalid head is
// rejected, and that the target receives no data.
func TestAdversaryHTTPRefused(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1")
	target := newRecorder(t)
	end := goodUser(t, client.Addr)
	back := client.wantBack(96)
	good := httpFoe{"good", field("X: y"), nil}
	if status, _, seen := good.play(t, client, target); status != 200 || !strings.Contains(seen, "X: y\r\n") {
		t.Fatalf("a valid request: status %d, target received %q", status, seen)
	}
	for _, f := range slices.Concat(lengthFoes(), fieldFoes(), targetFoes()) {
		status, told, seen := f.play(t, client, target)
		if strings.Contains(seen, "GET /smuggled HTTP") && !strings.Contains(seen, "Content-Length: 51\r\n") {
			t.Errorf("%s: smuggled: target received %s", f.name, brief(seen))
		}
		if f.status == nil {
			continue
		}
		// A flooding client may be cut off before it can read the response.
		if !slices.Contains(f.status, status) && !(status == 0 && len(f.say) > 1<<20) {
			t.Errorf("%s: status %d, want one of %v: %s", f.name, status, f.status, brief(told))
		}
		if !slices.Contains(f.status, 200) && seen != "" {
			t.Errorf("%s: status %d, and target received %s", f.name, status, brief(seen))
		}
	}
	end()
	back()
}

// TestAdversaryHTTPChunks checks that the target never receives the end of a malformed
// body, and that no part of the body is taken for a request.
func TestAdversaryHTTPChunks(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1")
	target := newRecorder(t)
	end := goodUser(t, client.Addr)
	back := client.wantBack(64)
	good := httpFoe{"good", post + "Transfer-Encoding: chunked\n\n3;x=y\nabc\n0\nT: y\n\n", nil}
	if status, _, seen := good.play(t, client, target); status != 200 || !strings.Contains(seen, "\r\nabc\r\n0\r\n") {
		t.Fatalf("a valid body: status %d, target received %q", status, seen)
	}
	for _, f := range chunkFoes() {
		status, told, seen := f.play(t, client, target)
		if status == 200 || strings.Contains(seen, "\r\n0\r\n") || strings.Contains(seen, "smuggled") {
			t.Errorf("%s: status %d, target received %s; application received %s", f.name, status, brief(seen), brief(told))
		}
		if strings.Contains(seen, "xxx") {
			t.Errorf("%s: the extension was forwarded", f.name)
		}
	}
	bad := httpFoe{"trailers", post + "Transfer-Encoding: chunked\n\n0\nContent-Length: 7\nTransfer-Encoding: x\nHost: evil.example\nConnection: X\nProxy-Authorization: x\n\n", nil}
	_, _, seen := bad.play(t, client, target)
	_, trailers, _ := strings.Cut(seen, "\r\n0\r\n")
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Host", "Connection", "Proxy-Authorization"} {
		if strings.Contains(trailers, name+":") {
			t.Errorf("trailer %s was forwarded: %q", name, seen)
		}
	}
	end()
	back()
}

// TestAdversaryHTTPRewritten checks that forwarded requests are consistent with the
// request line.
func TestAdversaryHTTPRewritten(t *testing.T) {
	t.Parallel()
	_, client := startPair(t)
	target := newRecorder(t)
	for _, tt := range []struct {
		f       httpFoe
		lacks   []string
		hasHost bool
	}{
		{httpFoe{"other host", "GET http://TARGET/a HTTP/1.1\nHost: evil.example\n\n", nil}, []string{"evil.example"}, true},
		{httpFoe{"user in URL", "GET http://user:secret@TARGET/a HTTP/1.1\nHost: TARGET\n\n", nil}, []string{"secret@", "user:"}, true},
		{httpFoe{"fragment", "GET http://TARGET/a#frag HTTP/1.1\nHost: TARGET\n\n", nil}, []string{"#frag"}, false},
		{httpFoe{"host named in Connection", "GET http://TARGET/a HTTP/1.1\nHost: TARGET\nConnection: Host, X-A\nX-A: b\n\n", nil}, []string{"X-A"}, true},
		{httpFoe{"proxy's fields", "GET http://TARGET/a HTTP/1.1\nHost: TARGET\nProxy-Authorization: Basic Zm9v\nProxy-Connection: x\nTE: trailers\nKeep-Alive: 5\n\n", nil}, []string{"Proxy-", "Keep-Alive", "Zm9v"}, true},
		{httpFoe{"bare LF", "GET http://TARGET/a HTTP/1.1\nHost: TARGET\nX: y\n\n", nil}, nil, false},
		{httpFoe{"h2c", "GET http://TARGET/a HTTP/1.1\nHost: TARGET\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n", nil}, []string{"HTTP2-Settings"}, false},
	} {
		status, told, seen := tt.f.play(t, client, target)
		if status == 400 && seen == "" {
			continue // also acceptable
		}
		if strings.Contains(strings.ReplaceAll(seen, "\r\n", ""), "\n") || status != 200 {
			t.Errorf("%s: status %d, target received %q; application received %s", tt.f.name, status, seen, brief(told))
		}
		if tt.hasHost && strings.Count(seen, "\r\nHost: "+target.Addr+"\r\n") != 1 {
			t.Errorf("%s: target received %q, want Host: %s", tt.f.name, seen, target.Addr)
		}
		for _, w := range tt.lacks {
			if strings.Contains(seen, w) {
				t.Errorf("%s: target received %q, which contains %q", tt.f.name, seen, w)
			}
		}
	}
	// Requests with bare LF line endings must be either rejected or normalized.
	say := strings.ReplaceAll("GET http://TARGET/a HTTP/1.1\nHost: TARGET\nX: y\n\n", "TARGET", target.Addr)
	_, _ = foe(t, client.Addr, []byte(say), true, patience)
	if seen := target.take(); strings.Contains(strings.ReplaceAll(seen, "\r\n", ""), "\n") {
		t.Errorf("bare LF: target received %q", seen)
	}
}

// TestAdversaryHTTPPipeline checks that 1000 pipelined requests get their responses in
// order.
func TestAdversaryHTTPPipeline(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1")
	target := newRecorder(t)
	end := goodUser(t, client.Addr)
	back := client.wantBack(64)
	var say strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&say, "GET http://%s/%d HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target.Addr, i)
	}
	told, how := foe(t, client.Addr, []byte(say.String()), true, patience)
	in := bufio.NewReader(strings.NewReader(string(told)))
	for i := range 1000 {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("response %d: %v (%s)", i, err, how)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || string(b) != fmt.Sprintf("/%d", i) {
			t.Fatalf("response %d is %s %q, %v", i, r.Status, b, err)
		}
	}
	end()
	back()
}

// TestAdversaryHTTPSlow checks that applications that stop sending in the middle of a
// body, or do not read, do not block others. The data queued for them is limited by
// -remux.memory.max.mb, and a second round uses no more memory than the first.
func TestAdversaryHTTPSlow(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1", "-remux.memory.max.mb=64")
	target := newRecorder(t)
	big := web(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(noise(8 << 20)) })
	back := client.wantBack(192)
	end := goodUser(t, client.Addr)
	site := web(t, serveText("good"))
	for wave := range 2 {
		all := slowApps(t, client.Addr, target.Addr, big.URL)
		eventually(t, patience, "the slow requests have reached the target", func() bool { return target.Accepted() >= int64(100*(wave+1)) })
		if err := askSite(client.Addr, "http", site.URL); err != nil {
			t.Errorf("a request during slow ones: %v", err)
		}
		leave(all)
	}
	end()
	back()
}

// slowApps opens 300 connections, a hundred of each of three kinds.
func slowApps(t testing.TB, proxy, target, big string) (all []net.Conn) {
	t.Helper()
	for i := range 300 {
		c, err := net.Dial("tcp", proxy)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
		switch i % 3 {
		case 0:
			fmt.Fprintf(c, "POST http://%s/ HTTP/1.1\r\nHost: x.example\r\nContent-Length: 1000000\r\n\r\nx", target)
		case 1:
			fmt.Fprintf(c, "POST http://%s/ HTTP/1.1\r\nHost: x.example\r\nTransfer-Encoding: chunked\r\n\r\nfff", target)
		case 2:
			fmt.Fprintf(c, "GET %s/ HTTP/1.1\r\nHost: x.example\r\n\r\n", big)
		}
	}
	return all
}

// TestAdversaryPAC checks that no part of a request except a host name appears in the
// files served by the port itself.
func TestAdversaryPAC(t *testing.T) {
	t.Parallel()
	_, client := startPair(t)
	ask := func(path, host string) string {
		told, _ := foe(t, client.Addr, []byte("GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"), false, 5*time.Second)
		return string(told)
	}
	if told := ask("/proxy.pac", client.Addr); !strings.HasPrefix(told, "HTTP/1.1 200 ") || !strings.Contains(told, "FindProxyForURL") {
		t.Fatalf("/proxy.pac: %s", brief(told))
	}
	for _, path := range []string{"/proxy.pac", "/", "/proxy.pac?x=zqx", "/zqx"} {
		for _, host := range []string{`zqx"+alert(1)+"`, `zqx;DIRECT`, `zqx'`, `zqx\`, `zqx<script>`, `zqx&lt;`, `zqx:1;PROXY evil:1`, `zqx%22`, `zqx:1"`, `[::1]"zqx`, "zqx/*", "zqx,b", "zqx$(a)", "zqx\tb", "zqx*/"} {
			told := ask(path, host)
			if _, body, _ := strings.Cut(told, "\r\n\r\n"); strings.HasPrefix(told, "HTTP/1.1 200 ") && strings.Contains(body, "zqx") {
				t.Errorf("%s with Host %q: %s", path, host, told)
			}
		}
	}
	for _, say := range []string{"POST /proxy.pac HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", "GET /../proxy.pac HTTP/1.1\r\nHost: x\r\n\r\n", "GET //proxy.pac HTTP/1.1\r\nHost: x\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: x\r\nSecret: s\r\n\r\n"} {
		if told, how := foe(t, client.Addr, []byte(say), true, 5*time.Second); how == stays || strings.Contains(string(told), "Secret") {
			t.Errorf("%.30q: %s, %s", say, brief(string(told)), how)
		}
	}
}
