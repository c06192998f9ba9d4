package httpdoor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tunnels/internal/socksaddr"
)

// randomRequest is a request as sent by the application, and as the target should
// receive it.
type randomRequest struct {
	said  []byte
	first string   // request line
	lines []string // lines of the head, without the hop-by-hop ones
	body  []byte
}

func newRandomRequest(r *rand.Rand, host string) *randomRequest {
	q := new(randomRequest)
	method := pick(r, "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "M-x.y")
	path := "/"
	for range r.IntN(30) {
		path += pick(r, "%", "%zz", "%41", "/", "..", "//", "a", "Z9", "?", "&=", ":", "@", "[", "]", "{", "|", "\\", "\"", "<", ";", ",", "'", "*", "~", "^", "`")
	}
	q.first = method + " " + path + " HTTP/1.1"
	all := []string{"X-one: 1", "x-TWO: 2", "Cookie: a=b", "cookie: c=d", "Accept: */*", "Empty: ", "User-Agent: \xfc", "Referer: http://x/%"}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	q.lines = slices.Clone(all[:r.IntN(len(all))])
	head := slices.Clone(q.lines)
	for _, f := range []string{"Host: " + host, "Proxy-Connection: keep-alive", "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 3", "TE: gzip"} {
		if f[0] == 'H' || r.IntN(3) == 0 && (f[0] != 'X' || slices.Contains(head, "Connection: keep-alive, X-Hop")) {
			head = slices.Insert(head, r.IntN(len(head)+1), f)
		}
	}
	wire := q.frame(r, &head)
	user := pick(r, "", "", "user@", "u:p%@", "u:p@w@")
	q.said = fmt.Appendf(nil, "%s http://%s%s%s HTTP/1.1\r\n%s\r\n\r\n%s", method, user, host, path, strings.Join(head, "\r\n"), wire)
	return q
}

// frame chooses a body and returns it as sent on the wire.
func (q *randomRequest) frame(r *rand.Rand, head *[]string) (wire []byte) {
	form := r.IntN(4)
	if form < 2 {
		return nil
	}
	q.body = make([]byte, pick(r, 0, 1, r.IntN(300), r.IntN(100_000)))
	for i := range q.body {
		q.body[i] = byte(r.Uint32())
	}
	if form == 2 {
		*head = slices.Insert(*head, r.IntN(len(*head)+1), fmt.Sprint("Content-Length: ", len(q.body)))
		return q.body
	}
	*head = slices.Insert(*head, r.IntN(len(*head)+1), "Transfer-Encoding: chunked")
	for rest := q.body; len(rest) > 0; {
		piece := rest[:1+r.IntN(len(rest))]
		rest = rest[len(piece):]
		wire = fmt.Appendf(wire, "%x%s\r\n%s\r\n", len(piece), pick(r, "", ";a=b"), piece)
	}
	return append(wire, "0\r\n\r\n"...)
}

// TestRandomRequests checks that requests on one connection, sent in random pieces,
// reach the target one by one with the same meaning, and that their responses are
// returned in the same order.
func TestRandomRequests(t *testing.T) {
	n, seed := randomRun(t, 300)
	r := rand.New(rand.NewPCG(seed, 0))
	const host = "a.test"
	var all []byte
	requests := make(chan *randomRequest, n)
	for range n {
		q := newRandomRequest(r, host)
		requests <- q
		all = append(all, q.said...)
	}
	seen := make(chan seenRequest)
	over := make(chan struct{})
	app := newRig(t, new(Config), func(context.Context, socksaddr.Address) (net.Conn, error) {
		near, far, err := connPair()
		if err == nil {
			go serveSeen(far, seen, over)
		}
		return near, err
	}).app(t)
	_ = app.SetDeadline(time.Now().Add(2 * time.Minute))
	written := make(chan struct{})
	go func() {
		defer close(written)
		for len(all) > 0 {
			piece := all[:1+r.IntN(min(len(all), pick(r, 10, 1000, 100_000)))]
			all = all[len(piece):]
			if _, err := app.Write(piece); err != nil {
				return
			}
		}
	}()
	defer func() { close(over); app.Close(); <-written }()
	back := bufio.NewReader(app)
	for i := range n {
		q := <-requests
		got := <-seen
		if got.first != q.first || !slices.Equal(got.lines, q.lines) || !bytes.Equal(got.body, q.body) || got.err != nil {
			t.Fatalf("request %d, sent as %.600q: target received %q %q, %d bytes (%v);\nwant %q %q, %d bytes", i, q.said, got.first, got.lines, len(got.body), got.err, q.first, q.lines, len(q.body))
		}
		want := fmt.Sprintf("HTTP/1.1 200 %d\r\nContent-Length: 0\r\n\r\n", i)
		_, _ = io.WriteString(got.from, want)
		back := readSome(t, back, len(want))
		if back != want {
			t.Fatalf("request %d: application read %q, want %q", i, back, want)
		}
	}
}

// readSome returns the next n bytes.
func readSome(t *testing.T, in io.Reader, n int) string {
	b := make([]byte, n)
	if n, err := io.ReadFull(in, b); err != nil {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	return string(b)
}

// seenRequest is a request as read by a target.
type seenRequest struct {
	from  net.Conn
	first string
	lines []string
	body  []byte
	err   error
}

// serveSeen sends the requests received by a target to seen, until the connection or
// the test ends.
func serveSeen(far net.Conn, seen chan<- seenRequest, over <-chan struct{}) {
	defer far.Close()
	in := bufio.NewReader(far)
	for {
		s := seenRequest{from: far}
		if s.first, s.lines, s.body, s.err = readAsTarget(in); s.err != nil && s.first == "" {
			return
		}
		select {
		case seen <- s:
		case <-over:
			return
		}
	}
}

// readAsTarget reads a request the way a minimal server would.
func readAsTarget(in *bufio.Reader) (first string, lines []string, body []byte, err error) {
	length, chunks := 0, false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return first, lines, nil, err
		}
		line, _ = strings.CutSuffix(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch {
		case first == "":
			first = line
		case line == "":
			if chunks {
				if body, err = io.ReadAll(httputil.NewChunkedReader(in)); err == nil {
					_, err = in.ReadString('\n') // no trailers
				}
				return first, lines, body, err
			}
			body = make([]byte, length)
			_, err = io.ReadFull(in, body)
			return first, lines, body, err
		case name == "Content-Length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case name == "Transfer-Encoding":
			chunks = true
		case name == "Host", name == "Connection":
		default:
			lines = append(lines, line)
		}
	}
}
