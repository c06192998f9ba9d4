package httpdoor

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httputil"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tunnels/internal/socksaddr"
)

// randomRun returns the number of random cases for a test, and their seed.
// RANDOM_HTTP=3000 or RANDOM_HTTP=3000,SEED overrides the defaults.
func randomRun(t *testing.T, usual int) (n int, seed uint64) {
	count, from, _ := strings.Cut(os.Getenv("RANDOM_HTTP"), ",")
	n, err := strconv.Atoi(cmp.Or(count, strconv.Itoa(usual)))
	if err == nil {
		seed, err = strconv.ParseUint(cmp.Or(from, strconv.FormatUint(rand.Uint64(), 10)), 10, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("to repeat: RANDOM_HTTP=%d,%d go test -run %s", n, seed, t.Name())
	return n, seed
}

// randomAnswer is a target's response to one request, and the expected result.
type randomAnswer struct {
	method, version string   // of the request
	pieces          [][]byte // as written, with a pause between them
	status          string
	lines           []string // lines of the head, without the hop-by-hop ones
	body            []byte
	clean           bool
	framed          bool // the response states the length of the body, other than by chunks
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// newRandomAnswer returns a response with a random version, status, lines and framing.
// It may be truncated, and is sent in random pieces.
func newRandomAnswer(r *rand.Rand) *randomAnswer {
	a := &randomAnswer{
		method:  pick(r, "GET", "GET", "GET", "HEAD", "POST"),
		version: pick(r, "1.1", "1.1", "1.1", "1.0"),
		status:  pick(r, "200", "200", "200", "203", "204", "304", "404", "500", "599"),
		clean:   true,
	}
	a.body = make([]byte, pick(r, 0, 1, r.IntN(100), r.IntN(100), r.IntN(10_000), r.IntN(200_000)))
	for i := range a.body {
		a.body[i] = "abcdefghij\r\n0123456789"[r.IntN(22)]
	}
	bodiless := a.method == "HEAD" || a.status == "204" || a.status == "304"
	if bodiless {
		a.body = nil
	}
	end := pick(r, "\r\n", "\r\n", "\r\n", "\n")
	first := pick(r, "HTTP/1.1", "HTTP/1.1", "HTTP/1.0") + " " + a.status + pick(r, " OK", " Some  reason \xff", "", " ")
	var heads []string
	for range pick(r, 0, 0, 0, 1, 3) {
		heads = append(heads, "HTTP/1.1 "+pick(r, "103 Early Hints", "102 Processing")+end+"Link: </x>"+end+end)
	}
	framing, wire := a.frame(r, bodiless, end)
	all := []string{"x-First: 1", "ETag:\"a\"", "Set-Cookie: a=b", "set-cookie:  c=d ", "WWW-Authenticate: X", "Pragma: no-cache", "Empty:", "X: \xe9"}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:r.IntN(len(all))]
	if r.IntN(3) == 0 {
		odd := pick(r, "Secured by Somebody: x", "X(y): x", "X-\xc3\xa9: x", ": x", "Set-Cookie: a=\x01b", "charset=utf-8", "X : y", "A: \x7f\x0b")
		all = slices.Insert(all, r.IntN(len(all)+1), odd)
	}
	a.lines = slices.Clone(all)
	hops := []string{"Keep-Alive: timeout=5", "Connection: X-Hop", "X-Hop: 1", "Proxy-Connection: x", "Upgrade: h2", "Connection: close"}
	for _, f := range append(framing, hops[:r.IntN(len(hops)+1)]...) {
		all = slices.Insert(all, r.IntN(len(all)+1), f)
	}
	head := first + end + strings.Join(all, end)
	if len(all) > 0 {
		head += end
	}
	said := []byte(strings.Join(heads, "") + head + end)
	if a.cut(r, wire, bodiless) {
		n := r.IntN(len(wire))
		a.clean = !a.framed && bytes.HasSuffix(wire, []byte("\r\n")) && n == len(wire)-1 // only the very last LF is missing
		wire = wire[:n]
	}
	said = append(said, wire...)
	for len(said) > 0 {
		n := len(said)
		if r.IntN(2) == 0 && len(a.pieces) < 5 {
			n = 1 + r.IntN(n)
		}
		a.pieces = append(a.pieces, said[:n])
		said = said[n:]
	}
	return a
}

// cut reports whether the body is truncated in a way that the application must notice.
func (a *randomAnswer) cut(r *rand.Rand, wire []byte, bodiless bool) bool {
	if bodiless || len(wire) == 0 || bytes.Equal(wire, a.body) && !a.framed || r.IntN(4) != 0 {
		return false
	}
	a.clean = false
	return true
}

// lax reports whether curl may fail to notice a truncated body because it ignores a
// length combined with identity. The door does not ignore it, so curl detects more
// truncated bodies through the door.
func (a *randomAnswer) lax() bool {
	return a.framed && bytes.Contains(bytes.ToLower(bytes.Join(a.pieces, nil)), []byte("identity"))
}

// frame returns the fields that frame the body, and the body as sent on the wire.
func (a *randomAnswer) frame(r *rand.Rand, bodiless bool, end string) (fields []string, wire []byte) {
	n := strconv.Itoa(len(a.body))
	length := "Content-Length: " + n
	te := pick(r, "Transfer-Encoding: ", "transfer-encoding:")
	switch r.IntN(8) {
	case 0, 1:
		a.framed = true
		return []string{length}, a.body
	case 2:
		a.framed = true
		return pick(r, []string{length, length}, []string{"content-length:" + n + ", " + n}, []string{length, te + "identity"}, []string{"Content-Length: 00" + n}, []string{length + ";"}, []string{"Content-Length: +" + n}), a.body
	case 3:
		return pick(r, []string{}, []string{te + "identity"}), a.body
	}
	fields = pick(r, []string{te + "chunked"}, []string{te + "chunked"}, []string{te + "Chunked", length}, []string{te + "chunked", "Content-Length: 3"})
	if bodiless {
		return fields, nil
	}
	for rest := a.body; len(rest) > 0; {
		piece := rest[:1+r.IntN(len(rest))]
		rest = rest[len(piece):]
		wire = fmt.Appendf(wire, "%s%x%s%s%s%s", pick(r, "", "", "00"), len(piece), pick(r, "", "", ";x=y"), end, piece, end)
	}
	wire = append(wire, "0"+end+pick(r, "", "", "X-Trailer: 1"+end)+end...)
	return fields, wire
}

// randomTarget serves the Nth response for /N.
type randomTarget struct {
	ln      net.Listener
	answers []*randomAnswer
}

func (o *randomTarget) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	first, _ := in.ReadString('\n')
	path := strings.Split(first+" / ", " ")[1]
	for line := first; strings.TrimSpace(line) != ""; {
		line, _ = in.ReadString('\n')
	}
	n, err := strconv.Atoi(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil || n >= len(o.answers) {
		return
	}
	for _, p := range o.answers[n].pieces {
		if _, err := c.Write(p); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // so that the pieces usually arrive separately; the result does not depend on it
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.Copy(io.Discard, c)
}

// newRandomTarget serves the responses, both directly and through a front door.
func newRandomTarget(t *testing.T, answers []*randomAnswer) (direct, door string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &randomTarget{ln: ln, answers: answers}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go o.serve(c)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	rig := newRig(t, new(Config), func(_ context.Context, to socksaddr.Address) (net.Conn, error) { return net.Dial("tcp", to.String()) })
	return ln.Addr().String(), rig.ln.(interface{ Addr() net.Addr }).Addr().String()
}

// hop reports whether a header line is a hop-by-hop field.
func hop(line string) bool {
	name, _, _ := strings.Cut(strings.ToLower(line), ":")
	return slices.Contains([]string{"keep-alive", "connection", "x-hop", "proxy-connection", "upgrade", "transfer-encoding", "content-length", "trailer"}, strings.TrimSpace(name))
}

// heard is a response as parsed strictly by the RFC.
type heard struct {
	status string
	lines  []string
	body   []byte
	clean  bool
}

func hear(t *testing.T, door, target string, n int, a *randomAnswer) (h heard) {
	c, err := net.Dial("tcp", door)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(c, "%s http://%s/%d HTTP/%s\r\nHost: %[2]s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", a.method, target, n, a.version)
	all, err := io.ReadAll(c)
	for {
		head, rest, _ := strings.Cut(string(all), "\r\n\r\n")
		all = []byte(rest)
		h.lines = strings.Split(head, "\r\n")
		if h.status = (h.lines[0] + "            ")[9:12]; h.status[0] != '1' {
			break
		}
	}
	fields := h.lines[1:]
	h.lines = slices.DeleteFunc(slices.Clone(fields), hop)
	h.body, h.clean = all, err == nil
	for _, f := range fields {
		name, value, _ := strings.Cut(strings.ToLower(f), ":")
		switch value = strings.TrimSpace(value); {
		case a.method == "HEAD" || h.status == "204" || h.status == "304":
		case name == "transfer-encoding" && value == "chunked":
			var cerr error
			h.body, cerr = io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(all)))
			h.clean = h.clean && cerr == nil
		case name == "content-length":
			length, _ := strconv.Atoi(strings.Trim(value, "+;")) // as curl reads it
			h.clean = h.clean && length == len(all)
		}
	}
	return h
}

// TestRandomAnswers checks that a response arrives with its meaning intact: status,
// lines, body, and whether it is complete.
func TestRandomAnswers(t *testing.T) {
	n, seed := randomRun(t, 300)
	answers := make([]*randomAnswer, n)
	for i := range answers {
		answers[i] = newRandomAnswer(rand.New(rand.NewPCG(seed, uint64(i))))
	}
	target, door := newRandomTarget(t, answers)
	for i, a := range answers {
		h := hear(t, door, target, i, a)
		whole := bytes.Equal(h.body, a.body)
		if h.status != a.status || h.clean != a.clean || !slices.Equal(h.lines, a.lines) || a.clean && !whole || !bytes.HasPrefix(a.body, h.body) {
			t.Errorf("response %d, sent by the target as %.500q: application received %s %q, %d bytes (correct: %t), clean: %t;\nwant %s %q, %d bytes, clean: %t",
				i, a.pieces, h.status, h.lines, len(h.body), whole, h.clean, a.status, a.lines, len(a.body), a.clean)
		}
	}
}
