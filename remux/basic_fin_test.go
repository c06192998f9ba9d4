package remux_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// TestBasicFin ends one direction of a session with a server that implements only the
// four-byte frame, and with one whose kind is not known yet.
func TestBasicFin(t *testing.T) {
	var (
		first   = func(p *peer) { p.wantHello(); p.wantFrame("the request", data(1, "request")) }
		request = func(c *client) remux.Session {
			x := c.open()
			x.Write([]byte("request"))
			return x
		}
		ended = func(t *testing.T, x remux.Session) {
			t.Helper()
			select {
			case <-x.Done():
			case <-time.After(time.Minute):
				t.Error("the session continues")
			}
		}
	)
	for name, f := range map[string]func(t *testing.T, c *client, p *peer){
		"held until HELLO": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.CloseWrite()
			first(p)
			time.Sleep(time.Second)
			p.write(hello(0))
			p.wantFrame("the end", fin(1))
			p.write(data(1, "response"), fin(1))
			wantEOF(t, "the response", x, "response")
			ended(t, x)
		},
		"held until the basic peer's response": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.CloseWrite()
			first(p)
			p.write(data(1, "response"))
			wantRead(t, "the response", x, "response")
			time.Sleep(20 * time.Second)
			p.write(data(1, " goes on"), fin(1))
			wantEOF(t, "the response", x, " goes on")
			p.wantFrame("FIN is answered", fin(1))
			ended(t, x)
		},
		"held for 30 s without a response": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.CloseWrite()
			first(p)
			start := time.Now()
			p.waits = time.Hour
			p.wantFrame("the end", fin(1))
			if took := time.Since(start); took < 30*time.Second || took > 35*time.Second {
				t.Errorf("ended after %v", took)
			}
			if _, err := x.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("Read returned %v", err)
			}
			ended(t, x)
		},
		"waits for an application that is not reading": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.CloseWrite()
			first(p)
			p.write(data(1, "response"))
			time.Sleep(5 * time.Minute)
			p.write(data(1, " goes on"), fin(1))
			wantEOF(t, "the response", x, "response goes on")
		},
		"closed": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.CloseWrite()
			first(p)
			time.Sleep(5 * time.Second) // by now the peer counts as basic
			x.Close()
			p.wantFrame("the end", fin(1))
			ended(t, x) // even if the peer does not respond
		},
		"closed before the kind is known": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			x.Close()
			first(p)
			p.wantFrame("the end", fin(1))
			ended(t, x)
		},
		"reset before the kind is known": func(t *testing.T, c *client, p *peer) {
			x := request(c)
			first(p)
			x.Reset(code.Cancelled, "")
			p.wantReset("which a basic peer does not understand", 1, code.Cancelled)
			p.write(data(1, "late")) // the first frame is not HELLO
			p.wantFrame("so FIN follows", fin(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newPipeClient(t, remux.Config{}, nil)
				f(t, c, c.raw())
			})
		})
	}
}

// TestOnEnd checks that a session reports its end exactly once.
func TestOnEnd(t *testing.T) {
	type end struct {
		err   error
		whole bool
	}
	for name, tt := range map[string]struct {
		do    func(p *peer, x remux.Session)
		want  error
		whole bool
	}{
		"both finish":       {func(p *peer, x remux.Session) { p.write(fin(1)); x.CloseWrite() }, nil, true},
		"reset":             {func(p *peer, x remux.Session) { p.write(reset(1, code.Cancelled, "")) }, &code.Error{Code: code.Cancelled}, false},
		"reset after FIN":   {func(p *peer, x remux.Session) { p.write(fin(1), reset(1, code.Cancelled, "")) }, &code.Error{Code: code.Cancelled}, true},
		"conn lost":         {func(p *peer, x remux.Session) { p.c.Close() }, io.ErrUnexpectedEOF, false},
		"lost after FIN":    {func(p *peer, x remux.Session) { p.write(fin(1)); p.barrier("read"); p.c.Close() }, io.ErrUnexpectedEOF, true},
		"violated":          {func(p *peer, x remux.Session) { p.write(window(0, 1)) }, &code.Error{Code: code.Protocol}, false},
		"reset by this end": {func(p *peer, x remux.Session) { x.Reset(code.General, "") }, &code.Error{Code: code.General}, false},
		"already over":      {func(p *peer, x remux.Session) {}, &code.Error{Code: code.General}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, remux.Config{})
			p := s.full()
			x := s.wantNext("open", p, 1)
			ends := make(chan end, 2)
			if name == "already over" {
				x.Reset(code.General, "")
			}
			if !x.OnEnd(func(err error, whole bool) { ends <- end{err, whole} }) {
				t.Error("OnEnd returned false")
			}
			tt.do(p, x)
			var e end
			select {
			case e = <-ends:
			case <-time.After(patience):
				t.Fatal("the end was not reported")
			}
			got, _ := code.Of(e.err)
			want, coded := code.Of(tt.want)
			if got != want || !coded && !errors.Is(e.err, tt.want) || e.whole != tt.whole {
				t.Errorf("reported %v, %v; want %v, %v", e.err, e.whole, tt.want, tt.whole)
			}
			x.Close()
			s.Close()
			if len(ends) > 0 {
				t.Errorf("reported again: %v", <-ends)
			}
		})
	}
	// A basic peer's FIN ends the session before anything is written.
	s := newServer(t, remux.Config{})
	p := s.raw()
	x := s.wantNext("open", p, 1)
	ends := make(chan end, 2)
	x.OnEnd(func(err error, whole bool) { ends <- end{err, whole} })
	p.write(fin(1))
	select {
	case e := <-ends:
		if e.err != nil || !e.whole {
			t.Errorf("reported %+v", e)
		}
	case <-time.After(patience):
		t.Fatal("a basic peer's session did not report its end")
	}
	x.Close()
}
