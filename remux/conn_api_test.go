package remux_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// TestBothEndsOpen checks that both ends can open sessions at the same time, each with
// its own numbers.
func TestBothEndsOpen(t *testing.T) {
	const each = 40
	near, far := connPair(t, remux.Config{}, remux.Config{})
	var serving, asking sync.WaitGroup
	for _, c := range []*remux.Conn{near, far} {
		serving.Go(func() { echoAll(c) })
	}
	var mu sync.Mutex
	numbers := map[uint16]bool{}
	for odd, c := range map[uint16]*remux.Conn{1: near, 0: far} {
		for i := range each {
			asking.Go(func() {
				s, err := c.Open(soon(t))
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				want := pattern(20_000 + 1000*i)
				go func() {
					io.WriteString(s, want)
					s.CloseWrite()
				}()
				s.SetReadDeadline(time.Now().Add(patience))
				if got, err := io.ReadAll(s); err != nil || string(got) != want {
					t.Errorf("session %v: read %d bytes, %v, want %d", s.ID(), len(got), err, len(want))
				}
				mu.Lock()
				defer mu.Unlock()
				if n := s.ID().Number; n%2 != odd || numbers[n] {
					t.Errorf("session %v, want an unused number, and %d modulo 2", s.ID(), odd)
				}
				numbers[s.ID().Number] = true
			})
		}
	}
	asking.Wait()
	near.GoAway(code.OK, "")
	within(t, "both conns end", func() { <-near.Done(); <-far.Done() })
	serving.Wait()
	if len(numbers) != 2*each {
		t.Errorf("%d numbers, want %d", len(numbers), 2*each)
	}
}

// TestGoAwaySilentPeer checks that a conn closes after GOAWAY even if the peer sends
// nothing, not even a PONG. After a while it counts as a basic peer.
func TestGoAwaySilentPeer(t *testing.T) {
	c, p := connAndPeer(t, remux.Config{}, true, false)
	p.wantHello()
	c.GoAway(code.OK, "")
	within(t, "the conn ends", func() { <-c.Done() })
}

// TestPeerName checks that Peer returns the peer's address, or the name in its
// certificate.
func TestPeerName(t *testing.T) {
	near, far := connPair(t, remux.Config{}, remux.Config{})
	if near.Peer() != "127.0.0.1" || far.Peer() != "127.0.0.1" {
		t.Errorf("Peer is %q and %q", near.Peer(), far.Peer())
	}
	a, b := net.Pipe()
	defer b.Close()
	c := remux.Config{}.NewConn(certified{a}, true)
	defer c.Close()
	if c.Peer() != "alice" {
		t.Errorf("Peer is %q, want the name in the certificate", c.Peer())
	}
}

type certified struct{ net.Conn }

func (certified) PeerName() string { return "alice" }

// TestAcceptorAwaitsHello checks that the acceptor opens no session before HELLO arrives,
// because it does not yet know how many it may open.
func TestAcceptorAwaitsHello(t *testing.T) {
	c, p := connAndPeer(t, remux.Config{}, false, false)
	p.wantHello()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := c.Open(ctx); err == nil {
		t.Fatalf("Open returns session %v before HELLO", s.ID())
	}
	opened := make(chan remux.Session)
	go func() {
		s, _ := c.Open(soon(t))
		opened <- s
	}()
	p.write(hello(1))
	s := <-opened
	if s == nil {
		t.Fatal("Open fails after HELLO")
	}
	io.WriteString(s, "hi")
	p.wantFrame("the acceptor opens 2", data(2, "hi"))
	p.write(data(2, "yo"), fin(2))
	wantEOF(t, "the reply", s, "yo")
}

// TestOpenNotPermitted checks that if HELLO permits no sessions, Open fails and sends
// nothing.
func TestOpenNotPermitted(t *testing.T) {
	for _, dialed := range []bool{true, false} {
		t.Run(fmt.Sprintf("dialed=%v", dialed), func(t *testing.T) {
			c, p := connAndPeer(t, remux.Config{}, dialed, true, 2, 0)
			p.wantHello()
			p.barrier("HELLO is read")
			mustNotOpen(t, "key 2 is 0", c)
			p.wantIdle("nothing is opened")
		})
	}
	t.Run("a pool", func(t *testing.T) { // like the product's clients
		a, b := tcpPair(t)
		pool := remux.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}.NewPool("tcp", "x")
		defer pool.Close()
		pool.Warm()
		c := remux.Config{}.NewConn(b, false)
		defer c.Close()
		mustNotOpen(t, "a pool permits none", c)
		if _, err := pool.Open(soon(t)); err != nil {
			t.Errorf("the pool itself: %v", err)
		}
	})
	t.Run("basic peer", func(t *testing.T) {
		c, p := connAndPeer(t, remux.Config{}, false, false)
		p.write(data(1, "x"))
		mustNotOpen(t, "a basic dialer is sent no session", c)
	})
}

// TestOpenLimit checks that Open waits while the peer's limit on open sessions is
// reached.
func TestOpenLimit(t *testing.T) {
	c, p := connAndPeer(t, remux.Config{}, false, true, 2, 2)
	p.wantHello()
	x, y := mustOpen(t, c), mustOpen(t, c)
	io.WriteString(x, "x")
	p.wantFrame("the first", data(2, "x"))
	io.WriteString(y, "y")
	p.wantFrame("the second", data(4, "y"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := c.Open(ctx); err == nil {
		t.Fatalf("Open returns %v, the third of 2", s.ID())
	}
	third := make(chan remux.Session)
	go func() {
		s, _ := c.Open(soon(t))
		third <- s
	}()
	p.write(reset(2, code.Refused, "no"))
	z := <-third
	if z == nil {
		t.Fatal("Open failed although a session had ended")
	}
	io.WriteString(z, "z")
	p.wantFrame("the third", data(6, "z"))
}

// TestOpenUnpermitted checks that sessions beyond this end's limit are reset, and that
// the others continue.
func TestOpenUnpermitted(t *testing.T) {
	for most, announced := range map[int]uint32{-1: 0, 1: 1} {
		for _, dialed := range []bool{true, false} {
			t.Run(fmt.Sprintf("most=%d, dialed=%v", most, dialed), func(t *testing.T) {
				c, p := connAndPeer(t, remux.Config{SessMax: most}, dialed, true)
				if h := p.wantHello(); h.keys[2] != announced {
					t.Errorf("HELLO permits %d sessions, want %d", h.keys[2], announced)
				}
				first, mine := uint16(1), uint16(2)
				if dialed {
					first, mine = 2, 1
				}
				ours := mustOpen(t, c)
				io.WriteString(ours, "hi")
				p.wantFrame("its own session", data(mine, "hi"))
				if most == 1 {
					p.write(open(first))
					mustAccept(t, c)
					first += 2
				}
				p.write(data(first, "x"))
				p.wantReset("one too many", first, code.Overload)
				p.write(data(first, "late"), data(mine, "yo"))
				wantRead(t, "the conn continues", ours, "yo")
			})
		}
	}
}

// TestWrongNumbers checks that it is a protocol error for either end to use a number that
// belongs to the other.
func TestWrongNumbers(t *testing.T) {
	for _, dialed := range []bool{true, false} {
		wrong := uint16(2) // the acceptor's
		if dialed {
			wrong = 1
		}
		for name, frame := range map[string][]byte{"data": data(wrong, "x"), "OPEN": open(wrong), "FIN": fin(wrong)} {
			t.Run(fmt.Sprintf("%s, dialed=%v", name, dialed), func(t *testing.T) {
				_, p := connAndPeer(t, remux.Config{}, dialed, true)
				p.wantHello()
				p.write(frame)
				p.wantProtocolError("one of this end's numbers")
			})
		}
	}
}

// TestOpenedInOrder checks that the hooks report a conn before its first session, even if
// the acceptor opens one immediately.
func TestOpenedInOrder(t *testing.T) {
	ids := make(chan remux.ID, 2)
	hooks := &remux.Hooks{
		ConnOpened: func(id remux.ID, _ net.Conn) {
			time.Sleep(10 * time.Millisecond)
			ids <- id
		},
		SessionOpened: func(id remux.ID) { ids <- id },
	}
	c, p := connAndPeer(t, remux.Config{Hooks: hooks}, false, false)
	p.write(hello(0x8f7ed46a))
	s := mustOpen(t, c)
	if conn, session := <-ids, <-ids; conn.String() != "8f7ed46a" || session.String() != "8f7ed46a:2" || session != s.ID() {
		t.Errorf("opened %v, then %v, want 8f7ed46a and 8f7ed46a:2", conn, session)
	}
}
