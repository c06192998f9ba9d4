package remux_test

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux"
)

// about checks that now is d after start, or up to a second later.
func about(t *testing.T, why string, start time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(start); took < d || took > d+time.Second {
		t.Errorf("%s: after %v, want %v", why, took, d)
	}
}

// silentPeer returns a full peer with one session. The peer sends nothing from now on,
// not even PONGs. Frames received so far are dropped.
func silentPeer(t *testing.T) (p *peer, x remux.Session) {
	s := newPipeServer(t, remux.Config{}, nil)
	p = s.full()
	x = s.wantNext("open", p, 1)
	p.wantIdle("quiet")
	p.silent.Store(true)
	p.waits = time.Hour
	p.drain()
	return p, x
}

// drain discards the frames received so far.
func (p *peer) drain() {
	synctest.Wait()
	p.mu.Lock()
	p.got = nil
	p.mu.Unlock()
}

func TestAdversarySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, x := silentPeer(t)
		start := time.Now()
		p.wantType("PING after silence", typePing)
		about(t, "PING", start, 15*time.Second)
		p.wantClosed("no response")
		about(t, "the conn is lost", start, 20*time.Second)
		wantBroken(t, "the session", x, "")
	})
}

func TestAdversaryNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, x := silentPeer(t)
		time.Sleep(5 * time.Second)
		start := time.Now()
		x.Write([]byte("hello?"))
		p.wantData("data", 1, "hello?")
		p.wantType("PING after silence", typePing)
		about(t, "PING", start, 3*time.Second)
		p.wantClosed("no response")
		about(t, "the conn is lost", start, 8*time.Second)
		wantBroken(t, "the session", x, "")
	})
}

// Any received byte shows that the peer is alive, even the first one of a header.
func TestAdversaryAnyByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, x := silentPeer(t)
		b := append(data(1, "alive"), padding()[:2]...)
		var start time.Time
		for i := range b {
			p.write(b[i : i+1])
			start = time.Now()
			p.wantType(fmt.Sprintf("PING after silence following byte %d", i), typePing)
			about(t, "PING", start, 15*time.Second)
			time.Sleep(time.Until(start.Add(19900 * time.Millisecond)))
		}
		p.wantClosed("no more bytes")
		about(t, "the conn is lost", start, 20*time.Second)
		wantBroken(t, "the session", x, "alive")
	})
	synctest.Test(t, func(t *testing.T) { // a PING sent because data was unanswered
		p, x := silentPeer(t)
		x.Write([]byte("?"))
		p.wantData("data", 1, "?")
		p.wantType("the first PING", typePing)
		time.Sleep(4900 * time.Millisecond)
		p.write(padding()[:1])
		start := time.Now()
		p.wantType("the second PING", typePing)
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("second PING after %v", took)
		}
	})
}

// While our own bytes are still draining, the limit is 20 s.
func TestAdversaryDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := mutePeer(t, s.connect())
		go p.send(hello(1))
		readFrame(p.c)
		synctest.Wait()
		p.write(open(1), window(1, 1<<30))
		x := s.accept("open")
		go x.Write(make([]byte, 10<<20))
		start := time.Now()
		b := make([]byte, 65536)
		for {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(p.c, b); err != nil {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("the conn to a silent peer is never lost")
			}
		}
		if took := time.Since(start); took < 20*time.Second {
			t.Errorf("lost after %v although bytes were draining", took)
		}
	})
}

// The dialing end closes a conn cleanly after 10 s without sessions.
func TestAdversaryIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{}, nil)
		p := c.full()
		p.waits = time.Hour
		x := c.open()
		x.Write([]byte("hi"))
		p.wantData("in use", 1, "hi")
		time.Sleep(time.Minute / 2)
		p.wantIdle("a conn in use is not idle")
		p.write(fin(1))
		wantEOF(t, "FIN", x, "")
		x.Close()
		p.wantFrame("FIN", fin(1))
		start := time.Now()
		p.wantLeaving("idle")
		about(t, "GOAWAY", start, 10*time.Second)
		p.wantClosed("idle")
	})
}

// With limits of 60 s and 16 sessions, a conn that has reached one takes no new sessions
// and keeps those it has.
func TestAdversaryWear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{ReuseMaxAge: time.Minute, ReuseMaxCount: 16}, nil)
		p := c.full()
		x := c.open()
		conns := make(chan *peer, 10)
		go func() { // successors
			for {
				q := c.acceptOr()
				if q == nil {
					return
				}
				r := newPeer(t, q)
				r.write(hello(0))
				conns <- r
			}
		}()
		time.Sleep(59 * time.Second)
		if y := c.open(); y.ID().Conn != x.ID().Conn {
			t.Errorf("after 59 s the session is %v, the first was %v", y.ID(), x.ID())
		}
		time.Sleep(3 * time.Second)
		y := c.open()
		if y.ID().Conn == x.ID().Conn || y.ID().Number != 1 {
			t.Errorf("after 62 s the session is %v, the first was %v", y.ID(), x.ID())
		}
		x.Write([]byte("still here"))
		p.wantData("the old one", 1, "still here")
		on := map[uint32]int{}
		for range 40 {
			synctest.Wait() // the successor is ready
			z := c.open()
			on[z.ID().Conn]++
		}
		if len(on) < 3 {
			t.Errorf("40 sessions used %v", on)
		}
		for id, n := range on {
			if n > 16 {
				t.Errorf("%d sessions on %v", n, id)
			}
		}
		c.Close()
		close(c.stop)
		synctest.Wait()
	})
}

// A peer that reads nothing, but guesses the PONG after GOAWAY and keeps sending, cannot
// keep an unused conn open.
func TestAdversaryClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := mutePeer(t, s.connect())
		p.send(hello(1))
		for start := time.Now(); p.send(padding(), pong("\x00\x00\x00\x00\x00\x00\x00\x02")) == nil; time.Sleep(time.Second) {
			if time.Since(start) > 3*time.Hour {
				t.Fatal("the conn is still open an hour after it was closed")
			}
		}
	})
}
