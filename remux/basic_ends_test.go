package remux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux"
)

// A basic peer's FIN is answered with FIN, and nothing follows it.
func TestBasicPeerEnds(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.raw()
	x := s.wantNext("open", p, 8)
	p.wantHello()
	p.write(data(8, "last"), fin(8))
	p.wantFrame("FIN is answered", fin(8))
	wantEOF(t, "a clean end", x, "last")
	if _, err := x.Write([]byte("x")); err == nil {
		t.Error("Write after the end succeeded")
	}
	x.Close()
	y := s.wantNext("a second session", p, 10)
	y.Write([]byte("nothing in between"))
	p.wantFrame("nothing more on session 8", data(10, "nothing in between"))
	p.write(data(10, "before"))
	wantRead(t, "data", y, "before")
	y.CloseWrite()
	p.wantFrame("CloseWrite ends the session", fin(10))
	wantEOF(t, "at this end too", y, "")
	y.Close()
	p.write(fin(10), data(8, "late"), data(10, "late"), fin(8))
	z := s.wantNext("numbers are used once", p, 12)
	z.Reset(0x05, "a reset is sent as FIN")
	p.wantFrame("a reset is sent as FIN", fin(12))
	p.c.(*net.TCPConn).CloseWrite()
	p.wantClosed("the conn ends when the peer ends it")
}

// Nothing is sent on session 0, and a silent peer is not disconnected.
func TestBasicPeerSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := s.raw()
		x := s.wantNext("open", p, 1)
		p.drain()
		x.Write([]byte("hello?"))
		p.wantFrame("data", data(1, "hello?"))
		time.Sleep(10 * time.Minute)
		x.Write([]byte("still?"))
		f, err := p.next()
		if err != nil || !bytes.Equal(f.wire(), data(1, "still?")) {
			t.Errorf("after 10 minutes: %v, %v", f, err)
		}
	})
}

// Up to 1 MiB of unread data is buffered. Then the conn is not read for 30 s, after which
// that session alone is ended.
func TestBasicPeerUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := s.raw()
		stuck := s.wantNext("open", p, 1)
		other := s.wantNext("open", p, 3)
		p.drain()
		for range 16 {
			p.write(data(1, pattern(65535)))
		}
		p.write(data(1, pattern(16)), data(3, "1 MiB is allowed"))
		wantRead(t, "the other session", other, "1 MiB is allowed")

		start := time.Now()
		p.c.SetWriteDeadline(time.Now().Add(time.Hour))
		p.c.Write(bytes.Join([][]byte{data(1, pattern(40000)), data(3, "later")}, nil))
		wantReadBy(t, time.Hour, other, "later")
		if took := time.Since(start); took < 29*time.Second || took > 31*time.Second {
			t.Errorf("the conn was not read for %v", took)
		}
		p.waits = time.Minute
		p.wantFrame("the session is ended", fin(1))
		stuck.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.Copy(io.Discard, stuck); err == nil {
			t.Errorf("the application read %d bytes and a clean end", n)
		}
		p.write(data(3, "on"))
		wantRead(t, "the other session", other, "on")
	})
	synctest.Test(t, func(t *testing.T) { // an application that reads in time loses nothing
		s := newPipeServer(t, remux.Config{}, nil)
		p := s.raw()
		x := s.wantNext("open", p, 1)
		all := pattern(3 << 20)
		go func() {
			time.Sleep(25 * time.Second)
			start := time.Now()
			wantReadBy(t, time.Hour, x, all)
			if took := time.Since(start); took > time.Second {
				t.Errorf("an application that was reading waited %v", took)
			}
			x.Close()
		}()
		p.c.SetWriteDeadline(time.Now().Add(time.Hour))
		p.c.Write(chunks(1, all))
		p.drain()
		time.Sleep(time.Minute)
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the session was not read to its end: %v", err)
		}
	})
}

// A conn that is not being read because of a basic peer's data can still be closed.
func TestBasicPeerStalledClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(s *server, x, y remux.Session){
			func(s *server, x, y remux.Session) { s.SessionListener.Close() },
			func(s *server, x, y remux.Session) { x.Close(); wantRead(t, "it continues", y, "next") },
			func(s *server, x, y remux.Session) { x.Reset(1, ""); wantRead(t, "it continues", y, "next") },
		} {
			s := newPipeServer(t, remux.Config{}, nil)
			p := s.raw()
			x, y := s.wantNext("open", p, 1), s.wantNext("open", p, 3)
			go p.c.Write(append(chunks(1, pattern(2<<20)), data(3, "next")...))
			synctest.Wait()
			start := time.Now()
			end(s, x, y)
			if took := time.Since(start); took > time.Second {
				t.Errorf("closing took %v", took)
			}
		}
	})
}

func wantReadBy(t *testing.T, d time.Duration, s remux.Session, want string) {
	s.SetReadDeadline(time.Now().Add(d))
	b := make([]byte, len(want))
	if n, err := io.ReadFull(s, b); err != nil || string(b) != want {
		t.Errorf("read %d bytes of %d, %v", n, len(want), err)
	}
}
