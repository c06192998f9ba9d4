package eagersocks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/door"
)

// Checks that the public types implement the documented interfaces.
var (
	_ Acceptor = net.Listener(nil)
	_ Listener = (*door.Listener[*Request])(nil)

	_ func(network, address string, options ...ListenOption) (Listener, error) = Listen
	_ func(network, address string, options ...ListenOption) (Listener, error) = ListenSocks
)

const aRequest = "\x05\x01\x00\x03\x0bexample.com\x01\xbb"

func TestListenNetworks(t *testing.T) {
	for name, f := range map[string]func(string, string, ...ListenOption) (Listener, error){"Listen": Listen, "ListenSocks": ListenSocks} {
		ln, err := f("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		c := dialTo(t, ln)
		c.Close()
		if err := ln.Close(); err != nil {
			t.Errorf("%s: Close = %v", name, err)
		}
		if _, err := f("tcp", "nowhere"); err == nil {
			t.Errorf("%s on a bad address = nil, want an error", name)
		}
		if _, err := f("tls", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), `"tls"`) || !strings.Contains(err.Error(), "WithListen") {
			t.Errorf("%s on an unknown network = %v, want an error that suggests WithListen", name, err)
		}
		a := newAcceptor()
		ln, err = f("tls", "x:1", WithConfig(&Config{PendingMax: 7}), WithListen(func(_ context.Context, network, address string) (Acceptor, error) {
			if network != "tls" || address != "x:1" {
				t.Errorf("%s listens on %s %s", name, network, address)
			}
			return a, nil
		}))
		if err != nil {
			t.Fatalf("%s with options = %v", name, err)
		}
		var pending []net.Conn
		for range 8 { // one more than WithConfig allows
			pending = append(pending, a.connect())
		}
		for i, c := range pending {
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); (err == io.EOF) != (i == 0) {
				t.Errorf("%s: connection %d of 8: %v, want only the first one closed", name, i, err)
			}
			defer c.Close()
		}
		ln.Close()
	}
}

func TestExitEager(t *testing.T) {
	ln := mustListen(t, Listen)
	c := dialTo(t, ln)
	io.WriteString(c, aRequest+"first bytes")
	conn, req := mustAccept(t, ln)
	if req.Target.String() != "example.com:443" || req.ReplyWanted || req.Early() != nil {
		t.Errorf("Accept = %+v, want an eager request for example.com:443", req)
	}
	if err := req.Reply(); err != nil {
		t.Errorf("Reply = %v", err)
	}
	wantRead(t, conn, "first bytes")
	io.WriteString(conn, "answer") // the first bytes received: there is no reply before them
	wantRead(t, c, "answer")
	if err := req.Refuse(code.Refused, ""); !errors.Is(err, appconn.ErrAnswered) {
		t.Errorf("Refuse after Reply = %v, want %v", err, appconn.ErrAnswered)
	}
	if err := new(Request).Reply(); !errors.Is(err, errNoAsker) {
		t.Errorf("Reply to a request not from a listener = %v, want %v", err, errNoAsker)
	}
}

func TestExitRefusesEagerWithReset(t *testing.T) {
	ln := mustListen(t, Listen)
	c := dialTo(t, ln)
	io.WriteString(c, aRequest)
	_, req := mustAccept(t, ln)
	if err := req.Refuse(code.Refused, "no listener"); err != nil {
		t.Errorf("Refuse = %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("peer read %v, want ECONNRESET", err)
	}
}

func TestExitRefusesSessionWithCode(t *testing.T) {
	a := newAcceptor()
	ln := new(Config).NewListener(a)
	defer ln.Close()
	client, inner := net.Pipe()
	defer client.Close()
	s := &session{Conn: inner}
	a.next <- s
	io.WriteString(client, aRequest)
	_, req := mustAccept(t, ln)
	if err := req.Refuse(code.Refused, "no listener"); err != nil {
		t.Errorf("Refuse = %v", err)
	}
	s.wantReset(t, code.Refused)
}

func TestExitReplies(t *testing.T) {
	for _, want := range []code.Code{code.OK, code.Refused} {
		ln := mustListen(t, Listen)
		c := dialTo(t, ln)
		wire, err := (&Request{Command: Connect, Target: Address{Host: "a", Port: 1}, ReplyWanted: true}).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(append(wire, "sent too early"...)) // left unread, but must not prevent the reply
		_, req := mustAccept(t, ln)
		answered := make(chan error, 1)
		go func() {
			if want == code.OK {
				answered <- req.Reply()
			} else {
				answered <- req.Refuse(want, "")
			}
		}()
		if got, err := ReadReply(c); got != want || err != nil {
			t.Errorf("ReadReply = %v, %v; want %v", got, err, want)
		}
		if want != code.OK {
			if n, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read after the refusal = %d, %v; want EOF", n, err)
			}
		}
		c.Close()
		if err := <-answered; err != nil {
			t.Errorf("answering %v = %v", want, err)
		}
	}
}

func TestRefuseWithOKIsARefusal(t *testing.T) {
	ln := mustListen(t, Listen)
	c := dialTo(t, ln)
	io.WriteString(c, "\x05\x01\x01"+aRequest[3:])
	_, req := mustAccept(t, ln)
	got := make(chan code.Code, 1)
	go func() {
		said, _ := ReadReply(c)
		c.Close()
		got <- said
	}()
	if err := req.Refuse(code.OK, ""); err != nil {
		t.Errorf("Refuse = %v", err)
	}
	if said := <-got; said != code.General {
		t.Errorf("Refuse(OK) replied %v, want %v", said, code.General)
	}
}

func TestExitResetsMalformed(t *testing.T) {
	for wire, want := range map[string]code.Code{
		"GET / HTTP/1.1\r\n\r\n":          code.Protocol,
		"\x05\x02" + aRequest[2:]:         code.CommandUnsupported,
		"\x05\x01\x00\x03\x00\x00\x50abc": code.AddressUnsupported,
	} {
		a, rejected := newAcceptor(), make(chan error, 1)
		ln := (&Config{Rejected: func(_ string, err error) { rejected <- err }}).NewListener(a)
		client, inner := net.Pipe()
		s := &session{Conn: inner}
		a.next <- s
		io.WriteString(client, wire) // fails if the connection is reset meanwhile
		wantCode(t, "Rejected", <-rejected, want)
		s.wantReset(t, want)
		if n, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("client read %d, %v; want it closed", n, err)
		}
		client.Close()
		ln.Close()
	}
}

func TestMissingRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{Rejected: r.add}).NewListener(a)
		client, inner := net.Pipe()
		s := &session{Conn: inner}
		start := time.Now()
		a.next <- s
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { // a byte every four seconds does not help
			for _, b := range []byte(aRequest) {
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(4 * time.Second)
			}
		})
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("client read %v, want it closed", err)
		}
		if d := time.Since(start); d != 15*time.Second {
			t.Errorf("closed after %v, want 15s", d)
		}
		s.wantReset(t, code.Timeout)
		client.Close()
		ln.Close()
		if errs := r.all(); len(errs) != 1 {
			t.Errorf("Rejected received %v, want one error", errs)
		}
	})
}

func TestSlowGreetingIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{Rejected: r.add}).NewSocksListener(a)
		app := a.connect()
		start := time.Now()
		app.Write([]byte("\x05\x01\x00"))
		wantRead(t, app, "\x05\x00")
		time.Sleep(9 * time.Second)
		app.Write([]byte("\x05"))
		if _, err := app.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("application read %v, want it closed", err)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("closed after %v, want 10s", d)
		}
		app.Close()
		ln.Close()
		if r.count(os.ErrDeadlineExceeded) != 1 {
			t.Errorf("Rejected received %v, want one timeout", r.all())
		}
	})
}

func TestSlowGreetingsDoNotHoldUpTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow, room = 20_000, 4096
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{Rejected: r.add}).NewSocksListener(a)
		start := time.Now()
		var apps []net.Conn
		for range slow {
			app := a.connect()
			app.Write([]byte{5})
			apps = append(apps, app)
		}
		app := a.connect()
		go func() { io.WriteString(app, "\x05\x01\x00"+aRequest) }()
		wantRead(t, app, "\x05\x00")
		conn, req := mustAccept(t, ln)
		if d := time.Since(start); d != 0 || req.Target.Host != "example.com" {
			t.Errorf("Accept after %v = %v, want example.com immediately", d, req.Target)
		}
		synctest.Wait()
		if n := r.count(door.ErrCrowded); n != slow+1-room {
			t.Errorf("%d connections were dropped, want %d", n, slow+1-room)
		}
		// The oldest have been closed, but the newest have not.
		if _, err := apps[0].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("oldest connection: Read = %v, want it closed", err)
		}
		apps[slow-1].Write([]byte("\x01\x00"))
		wantRead(t, apps[slow-1], "\x05\x00")
		ln.Close()
		if n := r.count(net.ErrClosed); n != room-1 {
			t.Errorf("%d connections were closed with the listener, want %d", n, room-1)
		}
		for _, c := range append(apps, app, conn) {
			c.Close()
		}
	})
}

func TestNoDeadlineAfterTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAcceptor()
		ln := new(Config).NewListener(a)
		client := a.connect()
		io.WriteString(client, aRequest)
		conn, _ := mustAccept(t, ln)
		go func() {
			time.Sleep(time.Hour)
			io.WriteString(client, "late")
		}()
		wantRead(t, conn, "late")
		ln.Close()
		client.Close()
	})
}

// TestUnacceptedIsDropped checks that a complete request counts toward the limit until
// it is accepted.
func TestUnacceptedIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{PendingMax: 1, Rejected: r.add}).NewListener(a)
		first := a.connect()
		io.WriteString(first, aRequest)
		second := a.connect()
		io.WriteString(second, strings.Replace(aRequest, "example", "EXAMPLE", 1))
		if _, req, err := ln.Accept(); err != nil || req.Target.Host != "EXAMPLE.com" {
			t.Errorf("Accept = %v, %v; want the second request", req, err)
		}
		if _, err := first.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("first connection: Read = %v, want it closed", err)
		}
		ln.Close()
		if r.count(door.ErrCrowded) != 1 || len(r.all()) != 1 {
			t.Errorf("Rejected received %v, want %v once", r.all(), door.ErrCrowded)
		}
		first.Close()
		second.Close()
	})
}

func TestAcceptSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newAcceptor(), new(rejections)
		ln := (&Config{Rejected: r.add}).NewListener(a)
		start := time.Now()
		for range 10 {
			a.next <- syscall.EMFILE
		}
		app := a.connect()
		// 5+10+20+40+80+160+320+640 ms, then 1 s each.
		if d := time.Since(start); d != 3275*time.Millisecond {
			t.Errorf("ten failures took %v, want 3.275s", d)
		}
		if n := r.count(syscall.EMFILE); n != 10 {
			t.Errorf("%d failures were reported, want 10", n)
		}
		go io.WriteString(app, aRequest)
		conn, _ := mustAccept(t, ln)
		a.next <- syscall.EMFILE
		start = time.Now()
		app2 := a.connect()
		if d := time.Since(start); d != 5*time.Millisecond {
			t.Errorf("first failure after a success took %v, want 5ms", d)
		}
		for range 9 {
			a.next <- syscall.EMFILE
		}
		synctest.Wait() // during the one-second pause
		start = time.Now()
		ln.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v, want no delay", d)
		}
		for _, c := range []net.Conn{app, app2, conn} {
			c.Close()
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAcceptor()
		ln := new(Config).NewSocksListener(a)
		app := a.connect()
		app.Write([]byte{5})
		waiting := make(chan error, 1)
		go func() { _, _, err := ln.Accept(); waiting <- err }()
		synctest.Wait()
		for range 2 {
			if err := ln.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := <-waiting; err != net.ErrClosed {
			t.Errorf("waiting Accept = %v, want %v", err, net.ErrClosed)
		}
		if _, _, err := ln.Accept(); err != net.ErrClosed {
			t.Errorf("Accept after Close = %v, want %v", err, net.ErrClosed)
		}
		if _, err := app.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("pending connection: Read = %v, want it closed", err)
		}
		app.Close()
	})
}

func TestAcceptorClosedBeneath(t *testing.T) {
	a := newAcceptor()
	ln := new(Config).NewListener(a)
	a.Close()
	if _, _, err := ln.Accept(); err != net.ErrClosed {
		t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
	}
	ln.Close()
}

// panicking is a connection whose Read panics.
type panicking struct{ net.Conn }

func (panicking) Read([]byte) (int, error) { panic("broken connection") }

func TestPanicEndsOneConnectionOnly(t *testing.T) {
	a, r := newAcceptor(), new(rejections)
	ln := (&Config{Rejected: r.add}).NewSocksListener(a)
	app, inner := net.Pipe()
	a.next <- panicking{inner}
	if _, err := app.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("application read %v, want it closed", err)
	}
	next := a.connect()
	defer next.Close()
	go io.WriteString(next, "\x05\x01\x00"+aRequest)
	wantRead(t, next, "\x05\x00")
	mustAccept(t, ln)
	ln.Close() // waits for the first connection
	if errs := r.all(); len(errs) != 1 || !bytes.Contains([]byte(errs[0].Error()), []byte("broken connection")) {
		t.Errorf("Rejected received %v, want the panic", errs)
	}
}
