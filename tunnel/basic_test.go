package tunnel

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"tunnels/eagersocks"
)

// basicClient is a client that implements only the basic frame with a four-byte header.
type basicClient struct {
	*testing.T
	c net.Conn
}

// send sends one frame on session n.
func (b basicClient) send(n uint16, payload []byte) {
	b.Helper()
	f := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, n), uint16(len(payload)))
	if _, err := b.c.Write(append(f, payload...)); err != nil {
		b.Fatal(err)
	}
}

// readAll returns the data received on session n until it ends.
func (b basicClient) readAll(n uint16) string {
	b.Helper()
	_ = b.c.SetReadDeadline(time.Now().Add(goneMax))
	all := ""
	for {
		var h [4]byte
		if _, err := io.ReadFull(b.c, h[:]); err != nil {
			b.Fatalf("after %q: %v", all, err)
		}
		payload := make([]byte, binary.BigEndian.Uint16(h[2:]))
		if _, err := io.ReadFull(b.c, payload); err != nil {
			b.Fatal(err)
		}
		if binary.BigEndian.Uint16(h[:]) != n {
			continue
		}
		if len(payload) == 0 {
			return all
		}
		all += string(payload)
	}
}

// TestBasicClient checks that a basicClient can read a reply that ends when the target
// closes, and that its own FIN ends the session at the exit.
func TestBasicClient(t *testing.T) {
	target, conns := holding(t)
	r := start(t, "remux", "tcp", "tcp", ownBudget)
	open := func(n uint16) (basicClient, *net.TCPConn) {
		c, err := net.Dial("tcp", r.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		b := basicClient{t, c}
		address, err := eagersocks.ParseAddress(target.Addr)
		if err != nil {
			t.Fatal(err)
		}
		head, err := (&eagersocks.Request{Command: eagersocks.Connect, Target: address}).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		b.send(n, append(head, "question"...))
		far := <-conns
		if _, err := io.ReadFull(far, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		return b, far
	}
	for _, n := range []uint16{1, 2} {
		b, far := open(n)
		_, _ = far.Write([]byte("answer"))
		far.Close() // the client has not ended its direction
		if got := b.readAll(n); got != "answer" {
			t.Errorf("session %d: %q, want the reply", n, got)
		}
		r.wantNothingHeld(t)
	}

	b, far := open(7) // the target never sends anything
	b.send(7, nil)
	if got := b.readAll(7); got != "" {
		t.Errorf("the reply to FIN is %q", got)
	}
	r.wantNothingHeld(t)
	_ = far.SetReadDeadline(time.Now().Add(goneMax))
	if rest, err := io.ReadAll(far); len(rest) > 0 || err != nil {
		t.Errorf("the target read %q, %v; want a clean end", rest, err)
	}

	b, far = open(9) // the target never stops sending
	go func() { _, _ = io.Copy(far, endless{}) }()
	b.send(9, nil)
	b.readAll(9)
	r.wantNothingHeld(t)
}

// endless is an endless source of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
