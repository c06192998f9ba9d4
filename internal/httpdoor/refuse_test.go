package httpdoor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// nobody returns a Dial for tests that must not dial a target.
func nobody(t testing.TB) Dial {
	return func(_ context.Context, target socksaddr.Address) (net.Conn, error) {
		t.Errorf("%v was dialed", target)
		return nil, errors.New("unexpected dial")
	}
}

// refused is a request, with \n for CR LF, and the expected status of the response.
type refused struct {
	name, say string
	status    int
}

const (
	aHost    = "Host: a.test\n"
	getLine  = "GET http://a.test/ HTTP/1.1\n"
	postLine = "POST http://a.test/ HTTP/1.1\n"
)

// malformedFraming lists requests whose end is ambiguous.
func malformedFraming() []refused {
	const smuggled = "GET http://evil.test/ HTTP/1.1\nHost: evil.test\n\n"
	return []refused{
		{"two lengths", postLine + aHost + "Content-Length: 3\nContent-Length: 50\n\nabc" + smuggled, 400},
		{"same length twice", postLine + aHost + "Content-Length: 3\nContent-Length: 3\n\nabc", 400},
		{"two lengths in one field", postLine + aHost + "Content-Length: 3, 3\n\nabc", 400},
		{"length and chunks", postLine + aHost + "Content-Length: 6\nTransfer-Encoding: chunked\n\n0\n\n" + smuggled, 400},
		{"chunks and length", postLine + aHost + "Transfer-Encoding: chunked\nContent-Length: 6\n\n0\n\n" + smuggled, 400},
		{"signed length", postLine + aHost + "Content-Length: +3\n\nabc", 400},
		{"negative length", postLine + aHost + "Content-Length: -1\n\n", 400},
		{"hexadecimal length", postLine + aHost + "Content-Length: 0x3\n\nabc", 400},
		{"empty length", postLine + aHost + "Content-Length: \n\n", 400},
		{"huge length", postLine + aHost + "Content-Length: 99999999999999999999\n\n", 400},
		{"two codings", postLine + aHost + "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n", 400},
		{"chunked twice", postLine + aHost + "Transfer-Encoding: chunked, chunked\n\n0\n\n", 501},
		{"chunked is not last", postLine + aHost + "Transfer-Encoding: chunked, gzip\n\n0\n\n", 501},
		{"unknown coding", postLine + aHost + "Transfer-Encoding: xchunked\n\n0\n\n", 501},
		{"coding after a tab", postLine + aHost + "Transfer-Encoding:\tchunked\x0b\n\n0\n\n", 400},
		{"coding in HTTP/1.0", "POST http://a.test/ HTTP/1.0\nTransfer-Encoding: chunked\n\n0\n\n", 400},
		{"chunk size", postLine + aHost + "Transfer-Encoding: chunked\n\nxyz\nabc\n0\n\n", 400},
		{"second chunk size", postLine + aHost + "Transfer-Encoding: chunked\n\n3\nabc\n0x1\na\n0\n\n", 400},
		{"negative chunk size", postLine + aHost + "Transfer-Encoding: chunked\n\n-1\n\n", 400},
		{"huge chunk size", postLine + aHost + "Transfer-Encoding: chunked\n\nfffffffffffffffff\nabc\n0\n\n", 400},
		{"chunk longer than its size", postLine + aHost + "Transfer-Encoding: chunked\n\n2\nabc\n0\n\n", 400},
		{"trailer is not a field", postLine + aHost + "Transfer-Encoding: chunked\n\n0\nno field\n\n", 400},
		{"announced trailer", postLine + aHost + "Transfer-Encoding: chunked\nTrailer: Content-Length\n\n0\n\n", 400},
	}
}

// malformedFields lists requests with malformed heads.
func malformedFields() []refused {
	return []refused{
		{"space before colon", getLine + aHost + "Content-Length : 5\n\n", 400},
		{"space before name", getLine + " X: 1\n" + aHost + "\n", 400},
		{"folded", getLine + aHost + "X: 1\n  2\n\n", 400},
		{"no colon", getLine + aHost + "nonsense\n\n", 400},
		{"empty name", getLine + aHost + ": x\n\n", 400},
		{"name with NUL", getLine + aHost + "X\x00: 1\n\n", 400},
		{"value with NUL", getLine + aHost + "X: 1\x00\n\n", 400},
		{"value with carriage return", getLine + aHost + "X: 1\rY: 2\n\n", 400},
		{"name with umlaut", getLine + aHost + "\xc3\xa4: 1\n\n", 400},
		{"no Host", getLine + "\n", 400},
		{"two Hosts", getLine + aHost + aHost + "\n", 400},
		{"Host with space", getLine + "Host: a b\n\n", 400},
		{"Host with slash", getLine + "Host: a/b\n\n", 400},
		{"large head", getLine + aHost + "X: " + strings.Repeat("x", 70_000) + "\n\n", 431},
		{"many fields", getLine + aHost + strings.Repeat("X: 1\n", requestFieldsMax) + "\n", 431},
		{"large request line", "GET http://a.test/" + strings.Repeat("x", 70_000) + " HTTP/1.1\n", 431},
	}
}

// malformedTargets lists requests without a valid target.
func malformedTargets() []refused {
	return []refused{
		{"https", "GET https://a.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"ftp", "GET ftp://a.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"no host", "GET http:///path HTTP/1.1\n" + aHost + "\n", 400},
		{"port only", "GET http://:80/ HTTP/1.1\n" + aHost + "\n", 400},
		{"user only", "GET http://me@/ HTTP/1.1\n" + aHost + "\n", 400},
		{"port 0", "GET http://a.test:0/ HTTP/1.1\n" + aHost + "\n", 400},
		{"large port", "GET http://a.test:65536/ HTTP/1.1\n" + aHost + "\n", 400},
		{"port is not a number", "GET http://a.test:http/ HTTP/1.1\n" + aHost + "\n", 400},
		{"backslash", "GET http://a.test\\@evil.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"zone", "GET http://[fe80::1%25lo]/ HTTP/1.1\n" + aHost + "\n", 400},
		{"line feed in a host", "GET http://a%0ab/ HTTP/1.1\n" + aHost + "\n", 400},
		{"name that is not ASCII", "GET http://\xc3\xa4.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"fragment", "GET http://a.test/#x HTTP/1.1\n" + aHost + "\n", 400},
		{"path without host", "GET a.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"space in target", "GET http://a.test/a b HTTP/1.1\n" + aHost + "\n", 400},
		{"two spaces", "GET  http://a.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"tabs", "GET\thttp://a.test/\tHTTP/1.1\n" + aHost + "\n", 400},
		{"method is not a token", "GE(T http://a.test/ HTTP/1.1\n" + aHost + "\n", 400},
		{"HTTP/0.9", "GET http://a.test/\n", 400},
		{"HTTP/2", "PRI * HTTP/2.0\n\nSM\n\n", 505},
		{"HTTP/1.2", "GET http://a.test/ HTTP/1.2\n" + aHost + "\n", 505},
		{"version", "GET http://a.test/ http/1.1\n" + aHost + "\n", 400},
		{"CONNECT without port", "CONNECT a.test HTTP/1.1\n\n", 400},
		{"CONNECT with body", "CONNECT a.test:443 HTTP/1.1\nContent-Length: 5\n\nhello", 400},
		{"CONNECT with URL", "CONNECT http://a.test/ HTTP/1.1\n\n", 400},
		{"CONNECT in lower case", "connect a.test:443 HTTP/1.1\n" + aHost + "\n", 400},
	}
}

// TestMalformedIsNotForwarded checks that a malformed or ambiguous request is never
// forwarded.
func TestMalformedIsNotForwarded(t *testing.T) {
	for _, tt := range slices.Concat(malformedFraming(), malformedFields(), malformedTargets()) {
		t.Run(tt.name, func(t *testing.T) {
			rig := newRig(t, new(Config), nobody(t))
			for name, before := range map[string]string{"first": "", "second": "GET / HTTP/1.1\nHost: x\n\n"} {
				got := rig.said(t, lines(before+tt.say))
				if before != "" {
					var ok bool
					if _, got, ok = strings.Cut(got, "</html>\n"); !ok {
						t.Fatalf("%s: the previous request got no response", name)
					}
				}
				if want := fmt.Sprintf("HTTP/1.1 %d ", tt.status); !strings.HasPrefix(got, want) || strings.Count(got, "HTTP/1.1 ") > 2 {
					t.Errorf("%s: application read %q, want %q and no further response", name, got, want)
				}
				if !strings.Contains(got, "Connection: close\r\n") {
					t.Errorf("%s: the response %q does not close the connection", name, got)
				}
			}
		})
	}
	t.Run("bare line feeds", func(t *testing.T) {
		got := newRig(t, new(Config), nobody(t)).said(t, "GET http://a.test/ HTTP/1.1\nHost: a.test\n\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("application read %q, want 400", got)
		}
	})
}

// TestRefusalTellsNoSecret checks that errors include no part of a URL except its host,
// because the rest may be secret and errors are logged.
func TestRefusalTellsNoSecret(t *testing.T) {
	for _, line := range []string{
		"GET http://me:secret@a.test:bad/ HTTP/1.1",
		"GET http://a.%zz/?token=secret HTTP/1.1",
		"GET http://me:secret HTTP/1.1", // the host is missing
		"GET http://me:secret@[::1/ HTTP/1.1",
		"CONNECT me:secret@a.test:443 HTTP/1.1",
		"CONNECT secret@a.test:443 HTTP/1.1",
	} {
		rejected := make(chan error, 1)
		rig := newRig(t, &Config{Rejected: func(_ string, err error) { rejected <- err }}, nobody(t))
		app := rig.app(t)
		io.WriteString(app, lines(line+"\n"+aHost+"\n"))
		got, _ := io.ReadAll(app)
		app.Close()
		err := <-rejected
		if !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || strings.Contains(string(got)+err.Error(), "secret") {
			t.Errorf("%s: application read %q, the error is %v; want 400, and the secret in neither", line, got, err)
		}
	}
}

// TestMalformedLater checks that if a body turns out to be malformed after the head has
// been forwarded, the target never sees a complete request.
func TestMalformedLater(t *testing.T) {
	targets := make(chan net.Conn, 1)
	rig := newRig(t, new(Config), func(context.Context, socksaddr.Address) (net.Conn, error) {
		near, far, err := connPair()
		targets <- far
		return near, err
	})
	app := rig.app(t)
	io.WriteString(app, lines("POST http://a.test/ HTTP/1.1\nHost: a.test\nTransfer-Encoding: chunked\n\n3\nabc\n"))
	far := <-targets
	defer far.Close()
	wantRead(t, far, lines("POST / HTTP/1.1\nHost: a.test\nTransfer-Encoding: chunked\n\n3\nabc\n"))
	io.WriteString(app, lines("nonsense\n"))
	if rest, err := io.ReadAll(far); err == nil || len(rest) > 0 {
		t.Errorf("target read %q, %v; want a reset", rest, err)
	}
	got, err := io.ReadAll(app)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
		t.Errorf("application read %q, %v; want 400", got, err)
	}
}

// TestMalformedAnswers checks that a malformed response is replaced by an error page.
func TestMalformedAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":            "SSH-2.0-x\n\n",
		"status":             "HTTP/1.1 abc OK\n\n",
		"small status":       "HTTP/1.1 099 OK\n\n",
		"HTTP/2":             "HTTP/2.0 200 OK\nContent-Length: 0\n\n",
		"two lengths":        "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab",
		"lengths in a field": "HTTP/1.1 200 OK\nContent-Length: 1, 2\n\nab",
		"length and a word":  "HTTP/1.1 200 OK\nContent-Length: 1, x\n\nab",
		"HTTP/0.9":           "<html>\n",
		"ICY":                "ICY 200 OK\n\n",
		"long status":        "HTTP/1.1 2000 OK\n\n",
		"many lines":         "HTTP/1.1 200 OK\n" + strings.Repeat("X:\n", 5000) + "\n",
		"large head":         "HTTP/1.1 200 OK\nX: " + strings.Repeat("x", 400_000) + "\n\n",
		"upgrade":            "HTTP/1.1 101 Switching\nUpgrade: x\nConnection: upgrade\n\n",
		"nothing":            "",
		"half a head":        "HTTP/1.1 200 OK\nContent-Le",
		"too many interim":   strings.Repeat("HTTP/1.1 103 Early\n\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, new(Config), func(context.Context, socksaddr.Address) (net.Conn, error) {
				near, far, err := connPair()
				go func() {
					defer far.Close()
					io.ReadFull(far, make([]byte, 30))
					io.WriteString(far, lines(answer))
					far.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, far)
				}()
				return near, err
			})
			got := rig.said(t, lines("GET http://a.test/ HTTP/1.1\nHost: a.test\nConnection: close\n\n"))
			for strings.HasPrefix(got, "HTTP/1.1 103 ") {
				_, got, _ = strings.Cut(got, "\r\n\r\n")
			}
			if !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, `"a.test:80"`) {
				t.Errorf("application read %q, want a 502 page that names the target", got)
			}
		})
	}
}

// TestFailurePages checks that the error page explains why a target could not be
// reached, or that it closed the connection without responding.
func TestFailurePages(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status string
		text   string
	}{
		{&code.Error{Code: code.Refused}, "502 Bad Gateway", `"a.test:80" cannot be reached through the tunnel: connection refused.`},
		{&code.Error{Code: code.HostUnreachable, Text: "no <b>\nhere", Remote: true}, "502 Bad Gateway", `no <b>\nhere`},
		{&code.Error{Code: code.NotAllowed}, "403 Forbidden", `"a.test:80" may not be reached: not allowed`},
		{fmt.Errorf("dialing: %w", &code.Error{Code: code.NotAuthorised}), "403 Forbidden", "may not be reached"},
		{&code.Error{Code: code.Timeout}, "504 Gateway Timeout", "timed out"},
		{context.DeadlineExceeded, "504 Gateway Timeout", "deadline"},
		{errors.New("something else"), "502 Bad Gateway", "something else"},
	} {
		dials := map[string]Dial{
			"dial": func(context.Context, socksaddr.Address) (net.Conn, error) { return nil, tt.err },
			"read": func(context.Context, socksaddr.Address) (net.Conn, error) { return newFailing(tt.err), nil },
		}
		for how, dial := range dials {
			rig := newRig(t, new(Config), dial)
			got := rig.said(t, lines(getLine+aHost+"\nHEAD http://a.test/ HTTP/1.1\nHost: a.test\nConnection: close\n\n"))
			first, second, _ := strings.Cut(got, "\n\r\n")
			if want := "HTTP/1.1 " + tt.status + "\r\n"; !strings.HasPrefix(first, want) || !strings.Contains(second, tt.text) {
				t.Errorf("%s fails with %v: application read %q, want %q and %q", how, tt.err, got, want, tt.text)
			}
			if !strings.Contains(second, "HTTP/1.1 "+tt.status) || !strings.HasSuffix(second, "Connection: close\r\n\r\n") {
				t.Errorf("%s fails with %v: the response to HEAD is %q", how, tt.err, second)
			}
		}
		dialed := newRig(t, new(Config), dials["dial"])
		for _, before := range []string{"", "GET / HTTP/1.1\nHost: a\n\n"} {
			if _, coded := code.Of(tt.err); before == "" && !coded {
				continue // refused by the caller of Accept, with a code
			}
			got := dialed.said(t, lines(before+"CONNECT a.test:80 HTTP/1.1\n\n"))
			if !strings.Contains(got, "HTTP/1.1 "+tt.status) {
				t.Errorf("CONNECT fails with %v: application read %q", tt.err, got)
			}
		}
	}
}

// failing is an eager stream to a target that could not be reached.
type failing struct {
	net.Conn
	err  error
	over chan struct{}
}

func newFailing(err error) *failing { return &failing{err: err, over: make(chan struct{})} }

func (f *failing) Read([]byte) (int, error)          { return 0, f.err }
func (f *failing) Write(p []byte) (int, error)       { return len(p), nil }
func (f *failing) Reset(c code.Code, _ string) error { return nil }
func (f *failing) Close() error                      { return nil }
