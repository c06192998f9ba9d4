package httpdoor

import (
	"io"
	"slices"
	"testing"
)

// onWire is an exchange, with \n for CR LF: the bytes sent by the application in one
// piece, those received and sent by the targets, and those received by the application.
type onWire struct {
	name    string
	say     string
	targets []step
	hear    string
}

// requestsOnWire returns test cases for forwarding requests (RFC 9110 and 9112).
func requestsOnWire() []onWire {
	return []onWire{
		{"absolute form", "GET http://a.test/p?q=1 HTTP/1.1\nHost: other.test\nX-One: 1\nx-two:2\nConnection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET /p?q=1 HTTP/1.1\n" + aHost + "X-One: 1\nx-two: 2\nConnection: close\n\n", answer: "HTTP/1.1 200 Fine\nContent-Length: 2\n\nhi"}},
			"HTTP/1.1 200 Fine\nContent-Length: 2\nConnection: close\n\nhi"},
		{"port and user", "GET http://me:secret@a.test:8080 HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:8080", want: "GET / HTTP/1.1\nHost: a.test:8080\nConnection: close\n\n", answer: "HTTP/1.1 204 No Content\n\n"}},
			"HTTP/1.1 204 No Content\nConnection: close\n\n"},
		{"query without path", "GET http://a.test?q HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET /?q HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 304 Not Modified\nContent-Length: 7\n\n"}},
			"HTTP/1.1 304 Not Modified\nContent-Length: 7\nConnection: close\n\n"},
		{"IPv6", "GET HTTP://[2001:DB8::1]:81/%7e|\xc3\xa4 HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "[2001:db8::1]:81", want: "GET /%7e|%C3%A4 HTTP/1.1\nHost: [2001:db8::1]:81\nConnection: close\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"server-wide OPTIONS", "OPTIONS http://a.test HTTP/1.1\n" + aHost + "Max-Forwards: 3\nConnection: close\n\n",
			[]step{{dial: "a.test:80", want: "OPTIONS * HTTP/1.1\n" + aHost + "Max-Forwards: 2\nConnection: close\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"Max-Forwards is 0", "OPTIONS http://a.test/ HTTP/1.1\n" + aHost + "Max-Forwards: 0\nConnection: close\n\n", nil,
			"HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nX-Content-Type-Options: nosniff\nContent-Length: 0\nConnection: close\n\n"},
		{"hop by hop", "GET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close, X-Mine, x-other\nX-Mine: 1\nX-Other: 2\nKeep-Alive: 5\nProxy-Connection: keep-alive\nProxy-Authorization: Basic eDp5\nProxy-Foo: 1\nTE: gzip, trailers\nTrailer: X\nUpgrade: h2c\nHTTP2-Settings: AAA\nCookie: c\n\n",
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "Cookie: c\nTE: trailers\nConnection: TE, close\n\n",
				answer: "HTTP/1.1 200 OK\nConnection: X-His\nX-His: 1\nKeep-Alive: timeout=5\nProxy-Authenticate: Basic\nUpgrade: h2\nX-End: 1\nSet-Cookie: a\nSet-Cookie: b\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nX-End: 1\nSet-Cookie: a\nSet-Cookie: b\nContent-Length: 0\nConnection: close\n\n"},
		{"body of known length", "POST http://a.test/ HTTP/1.1\n" + aHost + "Content-Length: 5\nConnection: close\n\nhello",
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Connection: close\nContent-Length: 5\n\nhello", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"chunks and trailers", "POST http://a.test/ HTTP/1.1\n" + aHost + "Transfer-Encoding: chunked\nTrailer: X-Sum\nConnection: close\n\n3;ext=1\nhel\n2\nlo\n0\nX-Sum: 9\nContent-Length: 3\nHost: b\n\n",
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Connection: close\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n5\nhello\n0\nX-Sum: 9\n\n",
				answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-End\n\n4\nword\n0\nX-End: 1\nconnection: no\nset-cookie:a\n\n"}},
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-End\nConnection: close\n\n4\nword\n0\nX-End: 1\nset-cookie:a\n\n"},
		{"pipelined pair", "GET http://a.test/1 HTTP/1.1\n" + aHost + "\nGET http://b.test/2 HTTP/1.1\nHost: b.test\nConnection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET /1 HTTP/1.1\n" + aHost + "\n", answer: "HTTP/1.1 200 OK\nContent-Length: 3\n\none", hangUp: true},
				{dial: "b.test:80", want: "GET /2 HTTP/1.1\nHost: b.test\nConnection: close\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 3\n\ntwo"}},
			"HTTP/1.1 200 OK\nContent-Length: 3\n\noneHTTP/1.1 200 OK\nContent-Length: 3\nConnection: close\n\ntwo"},
		{"empty lines between requests", "POST http://a.test/ HTTP/1.1\n" + aHost + "Content-Length: 1\n\n1\n\nGET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Content-Length: 1\n\n1", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
				{want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
	}
}

// answersOnWire returns test cases for forwarding responses.
func answersOnWire() []onWire {
	return []onWire{
		{"HEAD", "HEAD http://a.test/ HTTP/1.1\n" + aHost + "\nGET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "HEAD / HTTP/1.1\n" + aHost + "\n", answer: "HTTP/1.1 200 OK\nContent-Length: 100\n\n"},
				{want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 1\n\n1"}},
			"HTTP/1.1 200 OK\nContent-Length: 100\n\nHTTP/1.1 200 OK\nContent-Length: 1\nConnection: close\n\n1"},
		{"interim responses", "GET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			"HTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n"},
		{"HTTP/1.0 has no chunks and no interim responses", "GET http://a.test/ HTTP/1.0\nConnection: keep-alive\nExpect: 100-continue\n\n",
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 103 Early Hints\n\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"}},
			"HTTP/1.1 200 OK\nConnection: close\n\nabc"},
		{"a body that ends with its connection", "GET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.0 200 OK\n\nabc", hangUp: true}},
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: close\n\n3\nabc\n0\n\n"},
		{"response with bare line feeds and a folded field", "GET http://a.test/ HTTP/1.1\n" + aHost + "Connection: close\n\n",
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "Connection: close\n\n", answer: "HTTP/1.1 200 OK\nX: 1\n  2\nContent-Length: 0\n\n"}},
			"HTTP/1.1 200 OK\nX: 1 2\nContent-Length: 0\nConnection: close\n\n"},
	}
}

func TestHTTPOnTheWire(t *testing.T) {
	for _, tt := range slices.Concat(requestsOnWire(), answersOnWire()) {
		t.Run(tt.name, func(t *testing.T) {
			s := runScript(t, tt.targets)
			got := newRig(t, new(Config), s.dial).said(t, lines(tt.say))
			if want := lines(tt.hear); got != want {
				t.Errorf("application read\n%q, want\n%q", got, want)
			}
			s.wait()
		})
	}
}

// talk is one turn of an application in a conversation.
type talk struct{ say, hear string }

// TestHTTPConversations tests exchanges where one end waits for the other.
func TestHTTPConversations(t *testing.T) {
	for _, tt := range []struct {
		name    string
		app     []talk
		targets []step
	}{
		{"100-continue",
			[]talk{{"POST http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", "HTTP/1.1 100 Continue\n\n"},
				{"body", "HTTP/1.1 201 Created\nContent-Length: 0\n\n"}},
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", answer: "HTTP/1.1 100 Continue\n\n"},
				{want: "body", answer: "HTTP/1.1 201 Created\nContent-Length: 0\n\n"}}},
		{"100-continue refused",
			[]talk{{"POST http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", "HTTP/1.1 413 No\nContent-Length: 0\nConnection: close\n\n"}},
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", answer: "HTTP/1.1 413 No\nContent-Length: 0\nConnection: close\n\n"}}},
		{"417: the request is sent again without Expect, and the application sends its body",
			[]talk{{"PUT http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-continue\nX: 1\nContent-Length: 4\n\n", "HTTP/1.1 100 Continue\n\n"},
				{"body", "HTTP/1.1 201 Created\nContent-Length: 0\n\n"},
				{"GET http://b.test/ HTTP/1.1\nHost: b.test\n\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			[]step{{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "Expect: 100-continue\nX: 1\nContent-Length: 4\n\n", answer: "HTTP/1.1 417 No\nContent-Length: 2\n\nno"},
				{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "X: 1\nContent-Length: 4\n\nbody", answer: "HTTP/1.1 201 Created\nContent-Length: 0\n\n"},
				{dial: "b.test:80", want: "GET / HTTP/1.1\nHost: b.test\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}}},
		{"417 to chunks",
			[]talk{{"PUT http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-Continue\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 100 Continue\n\n"},
				{"4\nbody\n0\n\n", "HTTP/1.1 417 Still\nContent-Length: 0\n\n"}},
			[]step{{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "Expect: 100-Continue\nTransfer-Encoding: chunked\n\n", answer: "HTTP/1.1 417 No\nConnection: close\n\n"},
				{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n", answer: "HTTP/1.1 417 Still\nContent-Length: 0\n\n"}}},
		{"417 for a different expectation",
			[]talk{{"PUT http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-continue, more\nContent-Length: 4\n\n", "HTTP/1.1 417 No\nContent-Length: 0\nConnection: close\n\n"}},
			[]step{{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "Expect: 100-continue, more\nContent-Length: 4\n\n", answer: "HTTP/1.1 417 No\nContent-Length: 0\n\n"}}},
		{"417 after 100",
			[]talk{{"PUT http://a.test/ HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", "HTTP/1.1 100 Continue\n\nHTTP/1.1 417 No\nContent-Length: 0\nConnection: close\n\n"}},
			[]step{{dial: "a.test:80", want: "PUT / HTTP/1.1\n" + aHost + "Expect: 100-continue\nContent-Length: 4\n\n", answer: "HTTP/1.1 100 Continue\n\nHTTP/1.1 417 No\nContent-Length: 0\n\n"}}},
		{"upgrade",
			[]talk{{"GET http://a.test/chat HTTP/1.1\n" + aHost + "Connection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\n\nearly", "HTTP/1.1 101 Switching\nUpgrade: websocket\nSec-WebSocket-Accept: yes\nConnection: Upgrade\n\nfirst"},
				{"ping", "pong"}},
			[]step{{dial: "a.test:80", want: "GET /chat HTTP/1.1\n" + aHost + "Sec-WebSocket-Key: k\nUpgrade: websocket\nConnection: Upgrade\n\n", answer: "HTTP/1.1 101 Switching\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: yes\n\nfirst"},
				{want: "earlyping", answer: "pong"}}},
		{"upgrade declined",
			[]talk{{"GET http://a.test/chat HTTP/1.1\n" + aHost + "Connection: Upgrade\nUpgrade: websocket\n\n", "HTTP/1.1 400 No\nContent-Length: 0\n\n"},
				{"GET http://a.test/ HTTP/1.1\n" + aHost + "\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}},
			[]step{{dial: "a.test:80", want: "GET /chat HTTP/1.1\n" + aHost + "Upgrade: websocket\nConnection: Upgrade\n\n", answer: "HTTP/1.1 400 No\nContent-Length: 0\n\n"},
				{want: "GET / HTTP/1.1\n" + aHost + "\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}}},
		{"body as it arrives",
			[]talk{{"POST http://a.test/ HTTP/1.1\n" + aHost + "Transfer-Encoding: chunked\n\n", ""}, {"2\nab\n", "HTTP/1.1 200 OK\nContent-Length: 1\nConnection: close\n\n!"}},
			[]step{{dial: "a.test:80", want: "POST / HTTP/1.1\n" + aHost + "Transfer-Encoding: chunked\n\n2\nab\n", answer: "HTTP/1.1 200 OK\nContent-Length: 1\nConnection: close\n\n!"}}},
		{"CONNECT first",
			[]talk{{"CONNECT a.test:443 HTTP/1.1\n\nearly", "HTTP/1.1 200 Connection established\n\nanswer"}},
			[]step{{dial: "a.test:443", want: "early", answer: "answer"}}},
		{"CONNECT later",
			[]talk{{"GET http://a.test/ HTTP/1.1\n" + aHost + "\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
				{"CONNECT b.test:443 HTTP/1.1\n\nearly", "HTTP/1.1 200 Connection established\n\nanswer"}},
			[]step{{dial: "a.test:80", want: "GET / HTTP/1.1\n" + aHost + "\n", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n", hangUp: true},
				{dial: "b.test:443", want: "early", answer: "answer"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := runScript(t, tt.targets)
			app := newRig(t, new(Config), s.dial).app(t)
			for _, turn := range tt.app {
				io.WriteString(app, lines(turn.say))
				wantRead(t, app, lines(turn.hear))
			}
			app.Close()
			s.wait()
		})
	}
}
