package remux_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// chunks returns s as data frames for session n.
func chunks(n uint16, s string) (b []byte) {
	for ; len(s) > 65535; s = s[65535:] {
		b = append(b, data(n, s[:65535])...)
	}
	return append(b, data(n, s)...)
}

// Sending more than was granted resets the session and affects nothing else.
func TestAdversaryTooMuch(t *testing.T) {
	for _, early := range []bool{false, true} {
		s := newServer(t, remux.Config{})
		p := s.raw()
		p.write(hello(1))
		h := p.wantHello()
		other := s.wantNext("the other session", p, 1)
		var x remux.Session
		if !early {
			x = s.wantNext("open", p, 3)
		} else {
			p.write(data(3, "sentinel"))
		}
		p.wantIdle("everything granted has arrived")
		p.write(chunks(3, pattern(p.limit(3, h)-len("sentinel"))))
		p.wantIdle("all granted bytes are accepted although the application is not reading")
		if early {
			x = s.accept("the session")
		}
		p.write(data(3, "!"))
		p.wantReset("one byte too many", 3, code.FlowControl)
		p.write(data(3, "!"), fin(3))
		p.write(data(1, "unharmed"))
		wantRead(t, "the other session", other, "unharmed")
		p.wantIdle("the conn continues")
		x.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, x); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading the flooded session ended with %v", err)
		}
		s.wantNext("and accepts sessions", p, 5)
	}
}

// Reading grants the sender more, whether it uses every byte or sends only whole frames.
func TestAdversaryGrants(t *testing.T)            { grants(t, 1) }
func TestAdversaryGrantsWholeFrames(t *testing.T) { grants(t, 65535) }

func grants(t *testing.T, least int) {
	s := newServer(t, remux.Config{})
	p := s.raw()
	p.write(hello(1))
	h := p.wantHello()
	p.write(open(1))
	x := s.accept("open")
	go io.Copy(io.Discard, x)
	for sent := 0; sent < 8<<20; {
		for room := p.limit(1, h) - sent; room >= least && sent < 8<<20; room = p.limit(1, h) - sent {
			n := min(room, 65535)
			p.write(data(1, strings.Repeat("x", n)))
			sent += n
		}
		for limit := p.limit(1, h); sent+least > limit; limit = p.limit(1, h) {
			p.wantType("a WINDOW", typeWindow)
		}
	}
	p.write(fin(1))
	x.CloseWrite()
	p.wantFrame("no errors", fin(1))
}

// A peer that never grants anything blocks one Write and nothing else.
func TestAdversaryNeverGrants(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	other := s.wantNext("the other session", p, 9)
	ends := []struct {
		why  string
		n    uint16
		end  func(x remux.Session) error
		want func(why string, n uint16)
	}{
		{"Close", 1, (remux.Session).Close, func(why string, n uint16) { p.wantReset(why, n, code.Cancelled) }},
		{"Reset", 3, func(x remux.Session) error { return x.Reset(code.Timeout, "") },
			func(why string, n uint16) { p.wantReset(why, n, code.Timeout) }},
		{"SetDeadline", 5, func(x remux.Session) error { return x.SetDeadline(time.Unix(1, 0)) }, nil},
		{"RESET from the peer", 7, func(x remux.Session) error { p.write(reset(7, code.General, "")); return nil }, nil},
	}
	for _, c := range ends {
		x := s.wantNext(c.why, p, c.n)
		type result struct {
			n   int
			err error
		}
		done := make(chan result, 1)
		go func() {
			n, err := x.Write([]byte(pattern(200000)))
			done <- result{n, err}
		}()
		p.wantData(c.why+": the bytes granted", c.n, pattern(65536))
		p.wantIdle(c.why + ": and no more")
		select {
		case r := <-done:
			t.Fatalf("%s: the Write returned %v", c.why, r)
		default:
		}
		other.Write([]byte("unharmed"))
		p.wantData("the other session", 9, "unharmed")
		within(t, c.why, func() { c.end(x) })
		within(t, c.why+": the Write", func() {
			if r := <-done; r.err == nil || r.n > 200000 || (r.n < 65536 && c.why == "SetDeadline") {
				t.Errorf("%s: the Write returned %v", c.why, r)
			}
		})
		if c.want != nil {
			c.want(c.why, c.n)
		}
		p.wantIdle(c.why + ": nothing more")
	}
}

// An interrupted Write returns exactly how many bytes it has handed over, and writing can
// resume there.
func TestAdversaryWriteDeadline(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	all := pattern(300000)
	at := make(chan int, 1)
	x.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	go func() {
		n, err := x.Write([]byte(all))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the Write returned %v", err)
		}
		at <- n
	}()
	n := <-at
	x.SetWriteDeadline(time.Time{})
	go func() {
		if _, err := x.Write([]byte(all[n:])); err != nil {
			t.Error(err)
		}
		x.CloseWrite()
	}()
	p.write(window(1, 1<<40))
	p.wantData("all bytes, exactly once", 1, all)
	p.wantFrame("and the end", fin(1))
}

// The limits in HELLO and WINDOW are respected to the byte.
func TestAdversaryLimits(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.raw()
	p.wantHello()
	early := c.open()
	go early.Write([]byte(pattern(300000)))
	p.wantData("65536 before HELLO arrives", 1, pattern(65536))

	p.write(hello(0, 1, 100000))
	p.wantData("then the initial window", 1, pattern(300000)[65536:100000])
	p.wantIdle("to the byte")
	p.write(window(1, 50000), window(1, 0), window(1, 100000), window(1, 99999))
	p.wantIdle("a lower limit changes nothing")
	p.write(window(1, 100001))
	p.wantData("one byte", 1, pattern(300000)[100000:100001])
	p.wantIdle("to the byte")
	p.write(window(1, 100000), window(1, 100002), window(1, 1))
	p.wantData("one more", 1, pattern(300000)[100001:100002])
	p.write(window(1, 1<<64-1), window(1, 7))
	p.wantData("the rest", 1, pattern(300000)[100002:])

	x := c.open()
	go x.Write([]byte(pattern(100001)))
	p.wantData("the initial window of a later session", 3, pattern(100000))
	p.wantIdle("to the byte")
}

// The largest frame size in HELLO is respected, down to a single byte.
func TestAdversaryLargestFrame(t *testing.T) {
	for _, largest := range []int{1, 2, 1000, 65534, 65535, 65536, 1 << 20} {
		s := newServer(t, remux.Config{})
		p := s.full(3, uint32(largest), 1, 1<<20)
		p.write(open(1))
		x := s.accept("open")
		size := min(200*largest, 200000)
		x.Write([]byte(pattern(size)))
		x.CloseWrite()
		got := 0
		for {
			f, err := p.next(typePing, typeWindow)
			if err != nil || f.session != 1 || len(f.payload) > largest || string(f.payload) != pattern(size)[got:got+len(f.payload)] {
				t.Fatalf("largest frame %d: after %d bytes %v, %v", largest, got, f, err)
			}
			if got += len(f.payload); len(f.payload) == 0 {
				break
			}
		}
		if got != size {
			t.Fatalf("largest frame %d: FIN after %d bytes of %d", largest, got, size)
		}
	}
}

// Writes of awkward sizes arrive intact, and none as an accidental FIN.
func TestAdversarySizes(t *testing.T) {
	for _, size := range []int{0, 1, 2, 65534, 65535, 65536, 65537, 131070, 131071} {
		s := newServer(t, remux.Config{})
		p := s.full(1, 1<<20)
		p.write(open(1))
		x := s.accept("open")
		for _, b := range []string{"", pattern(size), "", "tail"} {
			if n, err := x.Write([]byte(b)); n != len(b) || err != nil {
				t.Fatalf("Write of %d bytes: %d, %v", len(b), n, err)
			}
		}
		p.wantData("the bytes, and no frame of length 0", 1, pattern(size)+"tail")
		p.wantIdle("nothing more")
		x.CloseWrite()
		p.wantFrame("FIN", fin(1))

		p.write(chunks(3, pattern(min(size, 65536))), fin(3))
		if size == 0 { // both frames were FINs, so there is no session
			s.wantNext("no session", p, 5)
			continue
		}
		wantEOF(t, "and in the other direction", s.accept("open"), pattern(min(size, 65536)))
	}
}

// An application that is not reading does not hold up the others.
func TestAdversaryNotReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t, remux.Config{}, nil)
		p := s.full()
		for n := uint16(1); n < 41; n += 2 {
			p.write(chunks(n, pattern(65536)))
		}
		p.write(ping("all read"))
		p.wantFrame("the conn is read to its end", pong("all read"))
		for range 20 {
			wantRead(t, "buffered", s.accept("open"), pattern(65536))
		}
	})
}
