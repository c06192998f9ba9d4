package remux_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// unhex decodes the bytes in testdata/malformed.txt.
func unhex(t *testing.T, s string) []byte {
	var b []byte
	for _, f := range strings.Fields(s) {
		x, times, many := strings.Cut(f, "*")
		one, err := hex.DecodeString(x)
		n := 1
		if many && err == nil {
			n, err = strconv.Atoi(times)
		}
		if err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		b = append(b, bytes.Repeat(one, n)...)
	}
	return b
}

func TestAdversaryMalformed(t *testing.T) {
	file, err := os.ReadFile("testdata/malformed.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 4 {
			t.Fatalf("not four fields: %s", line)
		}
		cases++
		who, why, outcome := strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), strings.Fields(f[3])
		t.Run(who+"/"+why, func(t *testing.T) {
			t.Parallel()
			var p *peer
			switch who {
			case "dialer":
				p = newServer(t, remux.Config{}).raw()
			case "acceptor":
				p = newClient(t, remux.Config{}).raw()
			default:
				t.Fatalf("unknown end %q", who)
			}
			p.write(unhex(t, f[2]))
			p.wantHello()
			switch outcome[0] {
			case "error":
				p.wantProtocolError(why)
			case "ok":
				p.wantIdle(why)
			case "pong":
				p.wantFrame(why, pong(string(unhex(t, outcome[1]))))
				p.wantIdle(why)
			case "reset":
				n, _ := strconv.Atoi(outcome[1])
				p.wantReset(why, uint16(n), code.Code(unhex(t, outcome[2])[0]))
				p.wantIdle(why)
			default:
				t.Fatalf("unknown outcome %q", outcome)
			}
		})
	}
	if cases < 50 {
		t.Fatalf("only %d cases", cases)
	}
}

// An end that sends nothing for 2 s counts as basic, and a later HELLO ends the conn.
func TestAdversaryHelloLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := s.raw()
		time.Sleep(1900 * time.Millisecond)
		p.write(hello(1))
		p.wantHello()
		p.wantIdle("HELLO after 1.9 s is not too late")

		late := s.raw()
		time.Sleep(2100 * time.Millisecond)
		late.write(hello(2))
		late.wantLateEnd("HELLO after 2.1 s")
		p.wantIdle("the other conn stays open")
	})
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{}, nil)
		p := c.raw()
		x := c.open()
		time.Sleep(2100 * time.Millisecond)
		p.write(hello(0))
		p.wantLateEnd("HELLO from an acceptor after 2.1 s")
		wantBroken(t, "a session on that conn", x, "")
	})
}

// wantLateEnd expects the conn to close, with or without a GOAWAY, because the peer
// counted as basic.
func (p *peer) wantLateEnd(why string) {
	p.Helper()
	for {
		f, err := p.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.Fatalf("%s: the conn stays open", why)
		}
		if err != nil {
			return
		}
		if f.session != 0 {
			p.Fatalf("%s: want EOF, got %v", why, f)
		}
	}
}

// A peer whose first frame is not HELLO is basic, whatever follows: session 0 is skipped,
// and nothing is sent on it.
func TestAdversaryHelloNotFirst(t *testing.T) {
	for why, first := range map[string][]byte{
		"data":    data(1, "x"),
		"FIN":     fin(1),
		"padding": padding(),
		"PING":    ping("12345678"),
		"WINDOW":  window(1, 1<<20),
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPipeServer(t, remux.Config{}, nil)
				p := s.raw()
				p.wantHello()
				p.write(first)
				synctest.Wait()
				p.write(hello(1), ping("who knows"[:8]), control(typeReset, ""), raw(0, 2000, pattern(2000)))
				if why == "data" {
					s.accept("the first session").Close()
					p.wantFrame("its end", fin(1))
				}
				x := s.wantNext("the conn continues, as basic", p, 4)
				x.Write([]byte("yo"))
				p.wantFrame("nothing was sent on session 0", data(4, "yo"))
				x.Close()
				p.wantFrame("and the end", fin(4))
			})
		})
	}
}

// alpn is a lower connection with a negotiated protocol.
type alpn struct {
	net.Conn
	proto string
}

func (c alpn) NegotiatedProtocol() string { return c.proto }

func TestAdversaryALPN(t *testing.T) {
	agreed := func(c net.Conn) net.Conn { return alpn{c, remux.Protocol} }
	other := func(c net.Conn) net.Conn { return alpn{c, ""} }
	t.Run("agreed: no 2 s, HELLO may be late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPipeServer(t, remux.Config{}, agreed).raw()
			p.wantHello()
			time.Sleep(4 * time.Second)
			p.write(hello(1), open(1))
			p.wantIdle("full by ALPN")
		})
	})
	for why, first := range map[string][]byte{
		"data": data(1, "x"), "FIN": fin(1), "PING": ping("12345678"), "padding": padding(),
	} {
		t.Run("agreed, but the first frame is "+why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipeServer(t, remux.Config{}, agreed).raw()
				p.wantHello()
				p.write(first)
				p.wantProtocolError("HELLO is the first frame between full peers, not " + why)
			})
		})
	}
	t.Run("not agreed: no control frames at all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newPipeServer(t, remux.Config{}, other)
			p := s.raw()
			p.write(data(1, "hi"))
			x := s.accept("a basic peer's session")
			wantRead(t, "its data", x, "hi")
			x.Write([]byte("yo"))
			x.Close()
			f, err := p.next()
			if err != nil || !bytes.Equal(f.wire(), data(1, "yo")) {
				t.Fatalf("first frame to a peer known to be basic from the start: %v, %v", f, err)
			}
			p.wantFrame("the end", fin(1))
		})
	})
}

// TestAdversaryFirstFrames checks the first frames on a conn, and its ID at both ends.
func TestAdversaryFirstFrames(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.raw()
	h := p.wantHello()
	if h.id == 0 {
		t.Error("the dialer chose the conn id 0")
	}
	p.wantType("PING right after HELLO", typePing)
	p.write(hello(0))
	x := c.open()
	x.Write([]byte("a"))
	if got, want := x.ID().String(), fmt.Sprintf("%08x:1", h.id); got != want {
		t.Errorf("the session ID is %s, HELLO implies %s", got, want)
	}

	s := newServer(t, remux.Config{})
	q := s.raw()
	q.write(hello(0x0badcafe), open(1))
	if h := q.wantHello(); h.id != 0 {
		t.Errorf("the acceptor sent the conn id %08x", h.id)
	}
	q.wantType("PING right after HELLO", typePing)
	if y := s.accept("OPEN"); y.ID().String() != "0badcafe:1" {
		t.Errorf("the session ID is %v", y.ID())
	}
}

// The sessions and hooks at both ends have the same conn ID.
func TestAdversaryConnID(t *testing.T) {
	at := make(chan remux.ID, 4)
	hooks := &remux.Hooks{ConnOpened: func(id remux.ID, _ net.Conn) { at <- id }}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := remux.Config{Hooks: hooks}.NewListener(ln)
	defer l.Close()
	pool := remux.Config{Hooks: hooks}.NewPool("tcp", ln.Addr().String())
	defer pool.Close()
	x, err := pool.Dial()
	if err != nil {
		t.Fatal(err)
	}
	y, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var ids [2]remux.ID
	for i := range ids {
		select {
		case ids[i] = <-at:
		case <-time.After(patience):
			t.Fatalf("ConnOpened was called for %d ends", i)
		}
	}
	a, b := x.(remux.Session).ID(), y.(remux.Session).ID()
	if ids[0] != ids[1] || a != b || a.Conn != ids[0].Conn || a.Number != 1 || ids[0] == (remux.ID{}) {
		t.Fatalf("conn IDs differ or are wrong: hooks %v and %v, sessions %v and %v", ids[0], ids[1], a, b)
	}
}
