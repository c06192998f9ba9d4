package remux_test

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux"
)

// about is whether something happened d after start, or up to a second later.
func about(t *testing.T, why string, start time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(start); took < d || took > d+time.Second {
		t.Errorf("%s: after %v, want %v", why, took, d)
	}
}

// silentPeer is a full peer with a session that stops answering; all that came
// before is out of the way, the last byte it sent was sent now.
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

// drain forgets what has come.
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
		p.wantType("asked for a sign of life", typePing)
		about(t, "PING", start, 15*time.Second)
		p.wantClosed("no sign of life")
		about(t, "the conn is lost", start, 20*time.Second)
		wantBroken(t, "the session", x, "")
	})
}

func TestAdversaryNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, x := silentPeer(t)
		time.Sleep(5 * time.Second)
		start := time.Now()
		x.Write([]byte("anybody?"))
		p.wantData("data", 1, "anybody?")
		p.wantType("asked for a sign of life", typePing)
		about(t, "PING", start, 3*time.Second)
		p.wantClosed("no sign of life")
		about(t, "the conn is lost", start, 8*time.Second)
		wantBroken(t, "the session", x, "")
	})
}

// Any byte counts, be it the first of a header.
func TestAdversaryAnyByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, x := silentPeer(t)
		b := append(data(1, "alive"), padding()[:2]...)
		var start time.Time
		for i := range b {
			p.write(b[i : i+1])
			start = time.Now()
			p.wantType(fmt.Sprintf("asked for a sign of life behind byte %d", i), typePing)
			about(t, "PING", start, 15*time.Second)
			time.Sleep(time.Until(start.Add(19900 * time.Millisecond)))
		}
		p.wantClosed("then none came")
		about(t, "the conn is lost", start, 20*time.Second)
		wantBroken(t, "the session", x, "alive")
	})
	synctest.Test(t, func(t *testing.T) { // an end that has asked for an answer to data
		p, x := silentPeer(t)
		x.Write([]byte("?"))
		p.wantData("data", 1, "?")
		p.wantType("asked", typePing)
		time.Sleep(4900 * time.Millisecond)
		p.write(padding()[:1])
		start := time.Now()
		p.wantType("asked again", typePing)
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("asked again after %v", took)
		}
	})
}

// While the end's own bytes still drain, 20 s are given.
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
				t.Fatal("a peer that says nothing is never lost")
			}
		}
		if took := time.Since(start); took < 20*time.Second {
			t.Errorf("lost after %v though bytes were drained", took)
		}
	})
}

// The end that dialed closes a conn that is not used for 10 s, in order.
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

// A conn that is 60 s old takes no new sessions and keeps those it has; so does
// one that was used 16 times.
func TestAdversaryWear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{}, nil)
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
			t.Errorf("after 59 s the session is %v, the one before %v", y.ID(), x.ID())
		}
		time.Sleep(3 * time.Second)
		y := c.open()
		if y.ID().Conn == x.ID().Conn || y.ID().Number != 1 {
			t.Errorf("after 62 s the session is %v, the one before %v", y.ID(), x.ID())
		}
		x.Write([]byte("still here"))
		p.wantData("the old one", 1, "still here")
		on := map[uint32]int{}
		for range 40 {
			synctest.Wait() // the successor is there
			z := c.open()
			on[z.ID().Conn]++
		}
		if len(on) < 3 {
			t.Errorf("40 sessions are on %v", on)
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

// A peer that reads nothing, but guesses the PONG behind GOAWAY and goes on talking,
// does not keep a conn that is not used.
func TestAdversaryClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := mutePeer(t, s.connect())
		p.send(hello(1))
		for start := time.Now(); p.send(padding(), pong("\x00\x00\x00\x00\x00\x00\x00\x02")) == nil; time.Sleep(time.Second) {
			if time.Since(start) > 3*time.Hour {
				t.Fatal("the conn is still there an hour after it was closed")
			}
		}
	})
}
