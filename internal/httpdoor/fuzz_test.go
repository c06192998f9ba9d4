package httpdoor

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/http1"
	"tunnels/internal/socksaddr"
)

// taped is an application's connection with scripted input. It records the bytes
// written to it.
type taped struct {
	io.Reader
	said bytes.Buffer
}

func (c *taped) Write(p []byte) (int, error)         { return c.said.Write(p) }
func (c *taped) Close() error                        { return nil }
func (c *taped) LocalAddr() net.Addr                 { return nil }
func (c *taped) RemoteAddr() net.Addr                { return nil }
func (c *taped) SetDeadline(time.Time) error         { return nil }
func (c *taped) SetReadDeadline(time.Time) error     { return nil }
func (c *taped) SetWriteDeadline(time.Time) error    { return nil }
func (c *taped) Reset(why code.Code, _ string) error { return nil }

// FuzzHTTPFront sends arbitrary bytes as an application. It checks that every request
// that reaches a target is unambiguous, is for the host that was dialed and lacks the
// fields meant for the proxy, and that the connection ends after a truncated body.
func FuzzHTTPFront(f *testing.F) {
	for _, s := range []string{
		"GET http://a.test/ HTTP/1.1\nHost: a.test\n\n",
		"GET http://u:p@a.test:81?q HTTP/1.1\nHost: a.test\nConnection: x\nX: 1\nTE: trailers\n\nGET / HTTP/1.1\nHost: b\n\n",
		"POST http://a.test/ HTTP/1.1\nHost: a.test\nContent-Length: 3\n\nabcPOST http://a.test/ HTTP/1.1\nHost: b\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX: 1\n\n",
		"POST http://a.test/ HTTP/1.1\nHost: a.test\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
		"OPTIONS http://a.test HTTP/1.1\nHost: a.test\nMax-Forwards: 1\nUpgrade: x\nConnection: upgrade\n\n",
		"POST http://[::1]/ HTTP/1.0\nContent-Length: 2\nExpect: 100-continue\n\nab",
		"GET /proxy.pac HTTP/1.1\nHost: a;b\n\nCONNECT a.test:443 HTTP/1.1\n\nbytes",
	} {
		f.Add([]byte(lines(s)), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
		f.Add([]byte(lines(s)), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
		f.Add([]byte(lines(s)), "HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\nabc")
	}
	f.Fuzz(func(t *testing.T, said []byte, answer string) {
		var wg sync.WaitGroup
		defer wg.Wait()
		app := &taped{Reader: bytes.NewReader(said)}
		stream, _, err := New(Config{}).Read(app, nil)
		web, ok := stream.(*Conn)
		if err != nil || !ok {
			return
		}
		connect := bytes.Contains(said, []byte("CONNECT")) // after a CONNECT, any bytes may follow
		_ = web.Serve(t.Context(), func(_ context.Context, to socksaddr.Address) (net.Conn, error) {
			near, far := net.Pipe()
			wg.Go(func() { judge(t, far, to, answer, connect) })
			return near, nil
		}) // any error is allowed, but not a panic, a hang or an invalid byte sent to a target
	})
}

// judge is a target that checks the request it receives and responds to it.
func judge(t *testing.T, far net.Conn, to socksaddr.Address, answer string, connect bool) {
	defer far.Close()
	var heard bytes.Buffer
	in := newWire(io.TeeReader(far, &heard), nil)
	r, err := readRequest(in)
	if err != nil {
		if heard.Len() > 0 && in.src.err == nil && !connect {
			t.Errorf("target received %q: %v", heard.Bytes(), err)
		}
		return
	}
	host := (&request{target: to}).host()
	if !r.local || !strings.EqualFold(r.get("Host"), host) || r.body() == nil && strings.Contains(strings.ToLower(heard.String()), "\nproxy-") {
		t.Errorf("%s received %q", host, heard.Bytes())
	}
	if body := r.body(); body != nil {
		if _, err := io.Copy(io.Discard, body); err != nil && in.src.err == nil {
			t.Errorf("target received %q: %v", heard.Bytes(), err)
		}
	}
	_, _ = io.WriteString(far, answer) // fails if the proxy has closed the connection
}

// FuzzPACList checks that a valid list cannot add code to the script.
func FuzzPACList(f *testing.F) {
	for _, s := range []string{"a.test,*.b.test,.c", "10.0.0.0/8, ::1", `a"b`, "a\\b", "</script>", "*.*", "1.2.3", "_-_._", "ä.test", " , "} {
		f.Add(s)
	}
	empty := (&pacRules{}).script("h:1", false)
	f.Fuzz(func(t *testing.T, list string) {
		l, err := ParsePACList(list)
		if err != nil {
			return
		}
		if again, err := ParsePACList(strings.ToUpper(list)); err != nil || strings.Join(again.keys(), ",") != strings.Join(l.keys(), ",") {
			t.Errorf("%q in upper case = %v, %v", list, again, err)
		}
		script := (&pacRules{direct: l}).script("h:1", false)
		mine, yours := strings.Split(empty, "\n"), strings.Split(script, "\n")
		if len(mine) != len(yours) {
			t.Fatalf("%q adds lines: %q", list, script)
		}
		for i, line := range yours {
			if line == mine[i] {
				continue
			}
			if strings.ContainsFunc(line, func(r rune) bool { return !http1.IsAlphanumeric(r) && !strings.ContainsRune(` ={}[]":,;.-_`, r) }) {
				t.Errorf("%q produces the line %q", list, line)
			}
		}
	})
}
