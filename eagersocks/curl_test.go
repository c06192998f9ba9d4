package eagersocks

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// way is the full path a request takes: a front door, an exit, and TCP between them.
type way struct {
	door, exit Listener
	eagerness  Eagerness
	names      map[string]string // names the exit can resolve
	wg         sync.WaitGroup
}

func newWay(t *testing.T, mode Mode, names map[string]string) *way {
	return newWayOf(t, mustListen(t, ListenSocks), mode, names)
}

func newWayOf(t *testing.T, door Listener, mode Mode, names map[string]string) *way {
	w := &way{door: door, exit: mustListen(t, Listen), eagerness: Eagerness{Mode: mode}, names: names}
	w.wg.Go(func() { w.serve(w.door, w.client) })
	w.wg.Go(func() { w.serve(w.exit, w.server) })
	t.Cleanup(func() {
		w.door.Close()
		w.exit.Close()
		w.wg.Wait()
	})
	return w
}

func (w *way) serve(ln Listener, handle func(splice.Stream, *Request)) {
	for {
		c, req, err := ln.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() { handle(c.(splice.Stream), req) })
	}
}

func (w *way) client(app splice.Stream, req *Request) {
	if req.ReplyWanted = !w.eagerness.Eager(req); !req.ReplyWanted {
		req.Reply()
	}
	addr := w.exit.(interface{ Addr() net.Addr }).Addr()
	session, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		req.Refuse(code.General, err.Error())
		return
	}
	wire, _ := req.AppendBinary(nil)
	session.Write(append(wire, req.Early()...))
	if req.ReplyWanted {
		if c, err := ReadReply(session); err != nil || c != code.OK {
			session.Close()
			req.Refuse(c, "")
			return
		}
		req.Reply()
	}
	r := splice.Both(app, session.(splice.Stream), code.Cancelled, code.General)
	if r.Failed == splice.B {
		w.eagerness.Failed(req.Target, code.General, "")
	}
}

func (w *way) server(session splice.Stream, req *Request) {
	target, err := net.Dial("tcp", w.names[req.Target.Host])
	if err != nil {
		req.Refuse(code.Refused, err.Error())
		return
	}
	req.Reply()
	splice.Both(session, target.(splice.Stream), code.Cancelled, code.TargetReset)
}

func curl(t *testing.T, w *way, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is not installed: run scripts/setup.sh")
	}
	proxy := w.door.(interface{ Addr() net.Addr }).Addr().String()
	args = append([]string{"-q", "-sS", "--max-time", "20", "--socks5-hostname", proxy}, args...)
	out, err := exec.CommandContext(t.Context(), path, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

func TestCurl(t *testing.T) {
	page := bytes.Repeat([]byte("a line of the page\n"), 50_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		w.Write(page)
		w.Write(sent)
	}))
	t.Cleanup(srv.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	names := map[string]string{"there.test": srv.Listener.Addr().String(), "gone.test": closed.Addr().String()}

	for _, mode := range []Mode{On, Off} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWay(t, mode, names)
			if out, exit := curl(t, w, "-d", "and this", "http://there.test/"); out != string(page)+"and this" || exit != 0 {
				t.Errorf("curl got %d bytes and exit code %d, want %d and 0", len(out), exit, len(page)+8)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		w := newWay(t, On, names)
		const sendFailed, recvFailed, proxyFailed = 55, 56, 97
		// The first request is answered "connected" too early and is then reset; the
		// retry gets the actual code.
		if _, exit := curl(t, w, "http://gone.test/"); exit != sendFailed && exit != recvFailed {
			t.Errorf("first curl: exit code %d, want %d or %d (sending or receiving failed)", exit, sendFailed, recvFailed)
		}
		gone := &Request{Command: Connect, Target: Address{Host: "gone.test", Port: 80}}
		for w.eagerness.Eager(gone) { // until the failure has been recorded
			runtime.Gosched()
		}
		if _, exit := curl(t, w, "http://gone.test/"); exit != proxyFailed {
			t.Errorf("second curl: exit code %d, want %d (refused by the proxy)", exit, proxyFailed)
		}
	})
}
