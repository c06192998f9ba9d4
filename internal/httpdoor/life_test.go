package httpdoor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

const aGet = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"
const gotGet = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"

// dialed passes the targets' ends of dialed connections to the test.
type dialed chan net.Conn

func newDialed(t testing.TB) dialed {
	d := make(dialed, 20)
	t.Cleanup(func() {
		for len(d) > 0 {
			(<-d).Close()
		}
	})
	return d
}

func (d dialed) dial(context.Context, socksaddr.Address) (net.Conn, error) {
	near, far, err := connPair()
	if err == nil {
		d <- far
	}
	return near, err
}

func (d dialed) next(t testing.TB) *net.TCPConn {
	c := <-d
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// TestBodiesAsTheyCome checks that data from a target reaches the application
// immediately, and vice versa.
func TestBodiesAsTheyCome(t *testing.T) {
	d := newDialed(t)
	app := newRig(t, new(Config), d.dial).app(t)
	io.WriteString(app, aGet)
	far := d.next(t)
	wantRead(t, far, gotGet)
	io.WriteString(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	wantRead(t, app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, event := range []string{"2\r\nev\r\n", "3\r\nent\r\n", "0\r\n\r\n"} {
		io.WriteString(far, event)
		wantRead(t, app, event)
	}
	io.WriteString(app, "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
	wantRead(t, far, "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
	io.WriteString(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") // an echo: both bodies are in progress
	wantRead(t, app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
	for _, piece := range []string{"1\r\na\r\n", "0\r\n\r\n"} {
		io.WriteString(app, piece)
		wantRead(t, far, piece)
		io.WriteString(far, piece)
		wantRead(t, app, piece)
	}
}

// TestLargeBodies checks that large bodies arrive intact, in both directions and with
// both framings.
func TestLargeBodies(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for _, framing := range []string{fmt.Sprintf("Content-Length: %d", len(body)), "Transfer-Encoding: chunked"} {
		d := newDialed(t)
		app := newRig(t, new(Config), d.dial).app(t)
		framed := body
		if strings.HasPrefix(framing, "Transfer") {
			framed = append(fmt.Appendf(nil, "%x\r\n", len(body)), append(bytes.Clone(body), "\r\n0\r\n\r\n"...)...)
		}
		go io.Copy(app, io.MultiReader(strings.NewReader("PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\n"+framing+"\r\n\r\n"), bytes.NewReader(framed)))
		far := d.next(t)
		in := newWire(far, nil)
		r, err := http.ReadRequest(in.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%.14s: target read %d bytes, %v; want %d", framing, len(got), err, len(body))
		}
		go io.Copy(far, io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n"), bytes.NewReader(framed)))
		resp, err := http.ReadResponse(bufio.NewReader(app), &http.Request{Method: "PUT"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%.14s: application read %d bytes, %v; want %d", framing, len(got), err, len(body))
		}
	}
}

// TestCutAnswers checks that a truncated response looks like an error to the
// application, never like a complete page.
func TestCutAnswers(t *testing.T) {
	for name, head := range map[string]string{"length": "Content-Length: 10", "chunks": "Transfer-Encoding: chunked"} {
		d := newDialed(t)
		app := newRig(t, new(Config), d.dial).app(t)
		io.WriteString(app, aGet)
		far := d.next(t)
		io.WriteString(far, "HTTP/1.1 200 OK\r\n"+head+"\r\n\r\n5\r\n")
		wantRead(t, app, "HTTP/1.1 200 OK\r\n")
		far.CloseWrite()
		if _, err := io.ReadAll(app); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: application read %v, want a reset", name, err)
		}
	}
}

// TestKeptConnections checks that if the target has closed a kept connection, a new one
// is dialed, unless repeating the request could do harm.
func TestKeptConnections(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	d := newDialed(t)
	app := newRig(t, new(Config), d.dial).app(t)
	ask := func(method string) {
		io.WriteString(app, method+" http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
	}
	answer := func(c *net.TCPConn, method string) {
		t.Helper()
		wantRead(t, c, method+" / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
		io.WriteString(c, ok)
		wantRead(t, app, ok)
	}
	ask("GET")
	first := d.next(t)
	answer(first, "GET")
	ask("POST") // on the same connection
	answer(first, "POST")
	first.CloseWrite()
	ask("GET")
	second := d.next(t)
	answer(second, "GET")
	ask("GET")
	wantRead(t, second, "GET / HTTP/1.1\r\n") // the target receives the request, then closes the connection
	second.SetLinger(0)
	second.Close()
	third := d.next(t)
	answer(third, "GET")
	ask("POST")
	wantRead(t, third, "POST / HTTP/1.1\r\n")
	third.SetLinger(0)
	third.Close()
	wantRead(t, app, "HTTP/1.1 502 Bad Gateway\r\n")
}

// TestKeptForOnce checks that a request that must not be sent twice is not sent on a
// connection that the target may be about to close.
func TestKeptForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := func(context.Context, socksaddr.Address) (net.Conn, error) { return &net.TCPConn{}, nil }
		to := socksaddr.Address{Host: "a.test", Port: 80}
		for _, tt := range []struct {
			method string
			idle   time.Duration
			kept   bool
		}{
			{"POST", keptOnceMax / 2, true}, {"POST", keptOnceMax, false},
			{"GET", keptOnceMax, true}, {"GET", keptIdleMax, false},
		} {
			near, far := net.Pipe()
			w := &Conn{}
			old := &targetConn{Conn: near, to: to}
			old.in = newWire(old, nil)
			w.kept.put(old)
			time.Sleep(tt.idle)
			r := &request{requestHead: requestHead{method: tt.method}, target: to}
			if got, err := w.open(t.Context(), d, r, false); err != nil || (got == old) != tt.kept {
				t.Errorf("%s after %v: %v, reused the kept connection: %t, want %t", tt.method, tt.idle, err, got == old, tt.kept)
			}
			w.kept.close()
			near.Close()
			far.Close()
		}
	})
}

// TestKeptConnectionsAreFew checks that the number of kept connections is limited, and
// that they are closed together with the application's connection.
func TestKeptConnectionsAreFew(t *testing.T) {
	d := newDialed(t)
	app := newRig(t, new(Config), d.dial).app(t)
	var all []*net.TCPConn
	for i := range keptMax + 2 {
		fmt.Fprintf(app, "GET http://%d.test/ HTTP/1.1\r\nHost: a\r\n\r\n", i)
		c := d.next(t)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		wantRead(t, app, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		all = append(all, c)
	}
	for _, c := range all[:2] {
		if _, err := io.ReadAll(c); err != nil { // returns once the connection is closed
			t.Error(err)
		}
	}
	app.Close()
	for _, c := range all[2:] {
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
	}
}

// toldReset is a connection that records the code of its reset.
type toldReset struct {
	net.Conn
	told chan code.Code
}

func (c *toldReset) Reset(why code.Code, _ string) error {
	c.told <- why
	return c.Conn.Close()
}

func (c *toldReset) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// TestKeptAtSilentTarget checks that once the application has gone away, a kept
// connection is closed even if the target does not close its own direction.
func TestKeptAtSilentTarget(t *testing.T) {
	d := newDialed(t)
	told := make(chan code.Code, 1)
	r := newRig(t, new(Config), func(ctx context.Context, a socksaddr.Address) (net.Conn, error) {
		c, err := d.dial(ctx, a)
		return &toldReset{c, told}, err
	})
	app := r.app(t)
	io.WriteString(app, aGet)
	far := d.next(t)
	wantRead(t, far, gotGet)
	io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	wantRead(t, app, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	app.Close()
	if all, err := io.ReadAll(far); len(all) > 0 || err != nil {
		t.Errorf("target received %q, %v; want a clean end", all, err)
	}
	if why := <-told; why != code.Cancelled {
		t.Errorf("aborted with %v", why)
	}
}

// TestApplicationGoesAway checks that when an application goes away, its request is
// aborted, but that it still receives its response if it only closes its own direction.
func TestApplicationGoesAway(t *testing.T) {
	d := newDialed(t)
	rig := newRig(t, new(Config), d.dial)
	app := rig.app(t)
	io.WriteString(app, aGet)
	far := d.next(t)
	wantRead(t, far, gotGet)
	app.SetLinger(0)
	app.Close()
	if _, err := io.ReadAll(far); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("target read %v, want a reset", err)
	}
	app = rig.app(t)
	io.WriteString(app, aGet+strings.Replace(aGet, "a.test/", "b.test/", 1))
	app.CloseWrite()
	for i, want := range []string{gotGet, strings.Replace(gotGet, "a.test", "b.test", 1)} {
		far = d.next(t)
		wantRead(t, far, want)
		if i == 1 { // that was the last request
			if rest, err := io.ReadAll(far); err != nil || len(rest) > 0 {
				t.Fatalf("target read %q, %v; want EOF", rest, err)
			}
		}
		io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")
		wantRead(t, app, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")
	}
	if rest, err := io.ReadAll(app); err != nil || len(rest) > 0 {
		t.Errorf("application read %q, %v; want EOF", rest, err)
	}
}

// TestEarlyAnswer checks that a response is forwarded even if the target sends it
// before reading the whole request, and then closes the connection.
func TestEarlyAnswer(t *testing.T) {
	d := newDialed(t)
	app := newRig(t, new(Config), d.dial).app(t)
	io.WriteString(app, "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nabc")
	far := d.next(t)
	wantRead(t, far, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nabc")
	io.WriteString(far, "HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
	got, err := io.ReadAll(app)
	if want := "HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"; string(got) != want || err != nil {
		t.Errorf("application read %q, %v; want %q", got, err, want)
	}
}

// TestDeclinedBody checks that the application's connection is closed if its Expect was
// declined.
func TestDeclinedBody(t *testing.T) {
	d := newDialed(t)
	app := newRig(t, new(Config), d.dial).app(t)
	io.WriteString(app, "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
	far := d.next(t)
	wantRead(t, far, "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	io.WriteString(far, "HTTP/1.1 401 Unknown\r\nContent-Length: 2\r\n\r\nno") // the connection stays open
	got, err := io.ReadAll(app)
	if want := "HTTP/1.1 401 Unknown\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"; string(got) != want || err != nil {
		t.Errorf("application read %q, %v; want %q and EOF", got, err, want)
	}
}

// TestRestOfRequest checks the time limit for a target that has responded but has
// stopped reading its request. Meanwhile, the proxy would not notice that the
// application goes away.
func TestRestOfRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{written: make(chan struct{})}
		begin := time.Now()
		time.AfterFunc(20*time.Second, func() { x.moved.Add(1) })
		if x.rest(); time.Since(begin) != 2*nextPieceMax {
			t.Errorf("one piece in 20 s: rest waited %v, want %v", time.Since(begin), 2*nextPieceMax)
		}
		begin = time.Now()
		time.AfterFunc(time.Second, func() { close(x.written) })
		if x.rest(); time.Since(begin) != time.Second {
			t.Errorf("written in 1 s: rest waited %v", time.Since(begin))
		}
	})
}

// TestDrain checks that Drain closes idle connections immediately, and busy ones after
// their response.
func TestDrain(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
	d := newDialed(t)
	rig := newRig(t, new(Config), d.dial)
	idle, busy := rig.app(t), rig.app(t)
	io.WriteString(idle, aGet)
	far := d.next(t)
	wantRead(t, far, gotGet)
	io.WriteString(far, ok+"\r\n")
	wantRead(t, idle, ok+"\r\n")
	io.WriteString(busy, aGet)
	slow := d.next(t)
	wantRead(t, slow, gotGet)
	rig.mu.Lock()
	for _, c := range rig.conns {
		c.Drain()
	}
	rig.mu.Unlock()
	if rest, err := io.ReadAll(idle); err != nil || len(rest) > 0 {
		t.Errorf("idle application read %q, %v; want EOF", rest, err)
	}
	io.WriteString(slow, ok+"\r\n")
	if got, err := io.ReadAll(busy); err != nil || string(got) != ok+"Connection: close\r\n\r\n" {
		t.Errorf("busy application read %q, %v; want its response and EOF", got, err)
	}
}

// TestServeIsCancelled checks that when the context is canceled, everything is aborted,
// no matter what Serve is waiting for.
func TestServeIsCancelled(t *testing.T) {
	for name, say := range map[string]string{
		"idle":   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"answer": aGet,
		"body":   "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n",
		"tunnel": "GET / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a.test:443 HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialed(t)
			rig := newRig(t, new(Config), d.dial)
			app := rig.app(t)
			io.WriteString(app, say)
			if name == "idle" {
				wantRead(t, app, "HTTP/1.1 200 OK\r\n")
			} else {
				d.next(t)
			}
			rig.cancel()
			if _, err := io.ReadAll(app); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("application read %v, want a reset", err)
			}
		})
	}
}

// TestCancelledIsNoPage checks that a failure caused by canceling the context is not
// reported as a page, because the application would mistake that for the target's
// response.
func TestCancelledIsNoPage(t *testing.T) {
	lost := &code.Error{Code: code.General, Text: "the pool was closed"}
	for name, say := range map[string]string{
		"first":  aGet,
		"tunnel": "GET / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a.test:443 HTTP/1.1\r\n\r\n",
	} {
		for _, dialFails := range []bool{true, false} {
			if name == "tunnel" && !dialFails {
				continue // it has already been answered
			}
			t.Run(fmt.Sprint(name, dialFails), func(t *testing.T) {
				var rig *rig
				rig = newRig(t, new(Config), func(context.Context, socksaddr.Address) (net.Conn, error) {
					rig.cancel()
					if dialFails {
						return nil, lost
					}
					return newFailing(lost), nil
				})
				app := rig.app(t)
				io.WriteString(app, say)
				got, err := io.ReadAll(app)
				if strings.Contains(string(got), "HTTP/1.1 502 ") || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("application read %q, %v; want no error page, and a reset", got, err)
				}
			})
		}
	}
}

// TestServeOnce checks that a Conn can be served only once, and not after its request
// was refused, and that its request cannot be encoded.
func TestServeOnce(t *testing.T) {
	for _, refused := range []bool{true, false} {
		app := &taped{Reader: strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n\r\n")}
		stream, req, err := New(Config{}).Read(app, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := req.AppendBinary(nil); err == nil {
			t.Error("an HTTP request was encoded")
		} else if c, _ := code.Of(err); c != code.CommandUnsupported {
			t.Errorf("AppendBinary = %v, want code %v", err, code.CommandUnsupported)
		}
		if refused {
			err = req.Refuse(code.Refused, "why")
		} else {
			err = stream.(*Conn).Serve(t.Context(), nobody(t))
		}
		if err != nil {
			t.Errorf("answering (refused: %v) = %v", refused, err)
		}
		if want := map[bool]string{true: "HTTP/1.1 502 ", false: "HTTP/1.1 200 "}[refused]; !strings.HasPrefix(app.said.String(), want) {
			t.Errorf("application received %q, want %q", app.said.String(), want)
		}
		if err := stream.(*Conn).Serve(t.Context(), nobody(t)); !errors.Is(err, errServed) {
			t.Errorf("Serve again = %v, want %v", err, errServed)
		}
	}
}
