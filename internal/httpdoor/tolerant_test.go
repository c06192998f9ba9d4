package httpdoor

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
)

// exchanged is a response, with \n for CR LF, and the bytes that the application must
// receive.
type exchanged struct {
	name, version string // of the request; empty means 1.1
	answer, hear  string
}

// TestAnswersAsTheyCame checks that a program sees the same response with and without
// the proxy: header lines are unchanged and in order, and outdated, duplicate or odd
// framing is understood.
func TestAnswersAsTheyCame(t *testing.T) {
	const ok, closed = "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\nConnection: close\n"
	for _, tt := range []exchanged{
		{"spelling and order", "", ok + "x-amz-ID-2: a\nETag:\"b\"\nWWW-Authenticate: c \nPragma: no-cache\nX: 2\netag: d\nContent-Length: 2\nLast: 1\n\nok",
			ok + "x-amz-ID-2: a\nETag:\"b\"\nWWW-Authenticate: c \nPragma: no-cache\nX: 2\netag: d\nContent-Length: 2\nLast: 1\n\nok"},
		{"hop by hop", "", ok + "Connection: X-Mine\nX-Mine: 1\nKeep-Alive: 1\nProxy-Connection: x\nProxy-Status: y\nUpgrade: h2\nContent-Length: 0\n\n", ok + "Proxy-Status: y\nContent-Length: 0\n\n"},
		{"chunked HTTP/1.0", "", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", ok + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"},
		{"chunked HTTP/1.0 with a length", "", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n5\nhello\n0\n\n", ok + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"},
		{"chunked HTTP/1.0 to HTTP/1.0", "1.0", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", ok + "Connection: close\n\nhello"},
		{"chunks to HTTP/1.0", "1.0", ok + "Transfer-Encoding: chunked\nTrailer: X\n\n2;x\nhe\n3\nllo\n0\nX: 1\n\n", ok + "Connection: close\n\nhello"},
		{"chunks and trailers", "", ok + "Transfer-Encoding: chunked\nTrailer: x-SUM\n\n2;x\nhe\n03\nllo\n0\nx-SUM:1\nContent-Length: 3\nSet-Cookie: a\n\n",
			ok + "Transfer-Encoding: chunked\nTrailer: x-SUM\n\n2\nhe\n03\nllo\n0\nx-SUM:1\nSet-Cookie: a\n\n"},
		{"chunked and a length", "", ok + "Content-Length: 3\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", ok + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"},
		{"identity", "", ok + "Transfer-Encoding: identity\nContent-Length: 5\n\nhello", ok + "Content-Length: 5\n\nhello"},
		{"identity to the end", "", ok + "Transfer-Encoding: identity\n\nhello", ok + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"},
		{"gzip, chunked", "", ok + "transfer-encoding: gzip,chunked\n\n5\nhello\n0\n\n", ok + "transfer-encoding: gzip,chunked\n\n5\nhello\n0\n\n"},
		{"gzip", "", ok + "Transfer-Encoding: gzip\nContent-Length: 3\n\nhello", ok + "Transfer-Encoding: gzip\nConnection: close\n\nhello"},
		{"chunked, chunked", "", ok + "X: 1\nTransfer-Encoding: chunked, chunked\nY: 1\n\n5\nhello\n0\n\n", ok + "X: 1\nTransfer-Encoding: chunked\nY: 1\n\n5\nhello\n0\n\n"},
		{"same length twice", "", ok + "Content-Length: 5, 5\n\nhello", ok + "Content-Length: 5\n\nhello"},
		{"same length in two fields", "", ok + "content-length: 5\nX: 1\nContent-Length: 5\n\nhello", ok + "content-length: 5\nX: 1\n\nhello"},
		{"huge length", "", ok + "Content-Length: 99999999999999999999\n\nhello", ok + "Content-Length: 99999999999999999999\nConnection: close\n\nhello"},
		{"signed length", "", ok + "Content-Length: +5\n\nhello", ok + "Content-Length: +5\nConnection: close\n\nhello"},
		{"length with extra characters", "", ok + "Content-Length: 5;\n\nhello", ok + "Content-Length: 5;\nConnection: close\n\nhello"},
		{"length in words", "", ok + "Content-Length: five\n\nhello", ok + "Content-Length: five\nConnection: close\n\nhello"},
		{"empty length", "", ok + "Content-Length:\n\nhello", ok + "Content-Length:\nConnection: close\n\nhello"},
		{"body longer than its length", "", ok + "Content-Length: 2\n\nhello", ok + "Content-Length: 2\n\nhe"},
		{"204 with a length", "", "HTTP/1.1 204 No\nContent-Length: 5\n\nhello", "HTTP/1.1 204 No\nContent-Length: 5\nConnection: close\n\n"},
		{"304 with a length", "", "HTTP/1.1 304 No\nContent-Length: 5\n\n", "HTTP/1.1 304 No\nContent-Length: 5\n\n"},
		{"reason", "", "HTTP/1.1 299 so  so\nContent-Length: 0\n\n", "HTTP/1.1 299 so  so\nContent-Length: 0\n\n"},
		{"no reason", "", "HTTP/1.1 200\nContent-Length: 0\n\n", "HTTP/1.1 200\nContent-Length: 0\n\n"},
		{"small letters", "", "http/1.1 200 OK\nX: y\nContent-Length: 5\n\nhello", "http/1.1 200 OK\nConnection: close\nX: y\nContent-Length: 5\n\nhello"},
		{"space in a name", "", ok + "Secured by Somebody: x\nContent-Length: 5\n\nhello", closed + "Secured by Somebody: x\nContent-Length: 5\n\nhello"},
		{"umlaut in a name", "", ok + "X-\xc3\xa9: x\nContent-Length: 5\n\nhello", closed + "X-\xc3\xa9: x\nContent-Length: 5\n\nhello"},
		{"no colon", "", ok + "charset=utf-8\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", closed + "charset=utf-8\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"},
		{"no colon, and no length", "", ok + "charset=utf-8\n\nhello", closed + "charset=utf-8\n\nhello"},
		{"no name", "", ok + ": x\nContent-Length: 5\n\nhello", closed + ": x\nContent-Length: 5\n\nhello"},
		{"control character", "", ok + "Set-Cookie: a=\x01b\nContent-Length: 5\n\nhello", closed + "Set-Cookie: a=\x01b\nContent-Length: 5\n\nhello"},
		{"CR in a value", "", ok + "X: a\rContent-Length: 2\nContent-Length: 5\n\nhello", ok + "X: a Content-Length: 2\nContent-Length: 5\n\nhello"},
		{"folded", "", ok + "X: 1\n  2\nContent-Length: 5\n\nhello", ok + "X: 1 2\nContent-Length: 5\n\nhello"},
		{"folded hop by hop", "", ok + "Keep-Alive: 1\n Y: 2\nContent-Length: 5\n\nhello", ok + "Content-Length: 5\n\nhello"},
		{"interim responses", "", "HTTP/1.1 103 Early\nlink: </x>\nContent-Length: 3\n\nHTTP/1.1 102 P\n\n" + ok + "Content-Length: 0\n\n", "HTTP/1.1 103 Early\nlink: </x>\n\nHTTP/1.1 102 P\n\n" + ok + "Content-Length: 0\n\n"},
		{"odd interim response", "", "HTTP/1.1 103 Early\nnonsense\n\n" + ok + "Content-Length: 0\n\n", "HTTP/1.1 103 Early\nnonsense\n\n" + ok + "Content-Length: 0\nConnection: close\n\n"},
		{"interim responses to HTTP/1.0", "1.0", "HTTP/1.1 103 Early\nnonsense\n\n" + ok + "Content-Length: 0\n\n", ok + "Content-Length: 0\nConnection: close\n\n"},
	} {
		for how, ends := range map[string]string{"CR LF": "\r\n", "LF": "\n"} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				version := "HTTP/1.1"
				if tt.version != "" {
					version = "HTTP/" + tt.version
				}
				d := newDialed(t)
				app := newRig(t, new(Config), d.dial).app(t)
				io.WriteString(app, strings.Replace(aGet, "HTTP/1.1", version, 1))
				far := d.next(t)
				wantRead(t, far, "GET / HTTP/1.1\r\n")
				io.WriteString(far, strings.ReplaceAll(tt.answer, "\n", ends))
				far.CloseWrite()
				app.CloseWrite()
				got, err := io.ReadAll(app)
				if want := lines(tt.hear); string(got) != want || err != nil {
					t.Errorf("application read\n%q, %v, want\n%q", got, err, want)
				}
			})
		}
	}
}

// TestBrokenAnswers checks that the connection never ends cleanly after a truncated or
// malformed response, whatever its framing.
func TestBrokenAnswers(t *testing.T) {
	const te = "Transfer-Encoding: chunked\n\n"
	for _, answer := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 9\n\nhello",
		"HTTP/1.1 200 OK\nContent-Length: 9, 9\n\nhello",
		"HTTP/1.1 200 OK\n" + te + "5\nhel",
		"HTTP/1.1 200 OK\n" + te + "5\nhello\n",
		"HTTP/1.1 200 OK\n" + te + "5\nhello\n0\n",
		"HTTP/1.1 200 OK\n" + te + "5\nhello\n0\nX: 1\n",
		"HTTP/1.1 200 OK\n" + te + "2\nhello\n0\n\n",
		"HTTP/1.1 200 OK\n" + te + "no size\nhello\n0\n\n",
		"HTTP/1.0 200 OK\n" + te + "5\nhello\n",
		"HTTP/1.0 200 OK\n" + te + "hello",
		"HTTP/1.0 200 OK\nContent-Length: 5\n" + te + "5\nhello\n",
		"HTTP/1.1 200 OK\nnonsense\n" + te + "5\nhello\n",
	} {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			d := newDialed(t)
			app := newRig(t, new(Config), d.dial).app(t)
			io.WriteString(app, strings.Replace(aGet, "HTTP/1.1", version, 1))
			far := d.next(t)
			wantRead(t, far, "GET / HTTP/1.1\r\n")
			io.WriteString(far, lines(answer))
			far.CloseWrite()
			if got, err := io.ReadAll(app); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s, %q: application read %q, %v; want a reset", version, answer, got, err)
			}
		}
	}
}

// TestRequestsThatNameTheirHost checks that the proxy finds the host whatever the user
// and path are.
func TestRequestsThatNameTheirHost(t *testing.T) {
	const v1, addr = "[::1]:8080", "[2001:db8:1:2:3:4:5:6]:80"
	for _, tt := range []struct{ target, host, dial, path string }{
		{"http://a.test/100%", "a.test", "a.test:80", "/100%"},
		{"http://a.test/%zz%u0041?a=%&b=http://x/", "a.test", "a.test:80", "/%zz%u0041?a=%&b=http://x/"},
		{"http://a.test/a\\b^[]|\"<>`{}", "a.test", "a.test:80", "/a\\b^[]|\"<>`{}"},
		{"http://a.test//../@x:y", "a.test", "a.test:80", "//../@x:y"},
		{"http://user:p%@a.test/", "a.test", "a.test:80", "/"},
		{"http://user:p@ss|@a.test:81/", "a.test", "a.test:81", "/"},
		{"http://a.test?x@b.test/", "a.test", "a.test:80", "/?x@b.test/"},
		{"http://a.test:/", "a.test", "a.test:80", "/"},
		{"http://::1:8080/", v1, v1, "/"},
		{"http://::1:48080/x", "elsewhere", "[::1]:48080", "/x"},
		{"http://u@::1:48080/x", "elsewhere", "[::1]:48080", "/x"},
		{"http://2001:db8:1:2:3:4:5:6/", "elsewhere", addr, "/"},
		{"http://2001:db8:1:2:3:4:5:6:80/", "elsewhere", addr, "/"},
		{"http://::ffff:192.0.2.1:80/", "elsewhere", "[::ffff:192.0.2.1]:80", "/"},
		{"http://fe80::1:ab/", "elsewhere", "[fe80::1:ab]:80", "/"},
		{"http://::1:80/", "[::1:80]", "[::1:80]:80", "/"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			host := strings.TrimSuffix(tt.dial, ":80")
			s := runScript(t, []step{{dial: tt.dial, want: "GET " + tt.path + " HTTP/1.1\nHost: " + host + "\nConnection: close\n\n", answer: "HTTP/1.1 204 No\n\n", hangUp: true}})
			got := newRig(t, new(Config), s.dial).said(t, lines("GET "+tt.target+" HTTP/1.1\nHost: "+tt.host+"\nConnection: close\n\n"))
			if !strings.HasPrefix(got, "HTTP/1.1 204 ") {
				t.Errorf("application read %q, want 204", got)
			}
			s.wait()
		})
	}
	for _, target := range []string{"::1:443", "[::1]:443"} {
		s := runScript(t, []step{{dial: "[::1]:443", want: "ping", answer: "pong", hangUp: true}})
		got := newRig(t, new(Config), s.dial).heard(t, lines("CONNECT "+target+" HTTP/1.1\nHost: "+target+"\n\nping"))
		if !strings.HasSuffix(got, "\r\n\r\npong") {
			t.Errorf("CONNECT %s: application read %q", target, got)
		}
		s.wait()
	}
}

// TestRefusedHosts checks that an ambiguous host is rejected and that the response says
// why.
func TestRefusedHosts(t *testing.T) {
	rig := newRig(t, new(Config), nobody(t))
	for line, why := range map[string]string{
		"GET http://::1:8080/":           wantBrackets,
		"GET http://::1:8080:/":          wantBrackets,
		"GET http://a:b:80/":             wantBrackets,
		"GET http://::1%25lo:48080/":     wantBrackets,
		"GET http://a.test\\@evil.test/": "backslash",
		"GET http://u\\@a.test/":         "backslash",
		"GET http://a%2etest/":           "percent sign",
		"GET http://a.test:8o/":          wantPort,
		"GET http://a.test:0/":           wantPort,
		"GET http://[::1/":               "",
		"GET http://[::1]x:80/":          "",
		"CONNECT ::1":                    wantBrackets,
		"CONNECT a.test:":                "host:port",
		"CONNECT 2001:db8::1":            wantBrackets,
		"CONNECT fe80::1%lo:443":         wantBrackets,
		"CONNECT 1:2:3:4:5:6:7:8":        wantBrackets,
		"CONNECT a.test:443/":            "host:port",
		"CONNECT evil.test\\@a.test:443": "without a user",
		"CONNECT [::1]:https":            wantPort,
	} {
		got := rig.said(t, lines(line+" HTTP/1.1\nHost: x\n\n"))
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, why) {
			t.Errorf("%s: application read %q, want 400 and %q", line, got, why)
		}
	}
}
