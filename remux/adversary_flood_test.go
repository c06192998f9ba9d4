package remux_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// heap returns the size of the heap after a garbage collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// hog writes b repeatedly without reading, and expects the conn to accept everything.
func (p *peer) hog(why string, b []byte, times int) {
	p.Helper()
	p.c.SetWriteDeadline(time.Now().Add(3 * patience))
	for i := range times {
		if _, err := p.c.Write(b); err != nil {
			p.Fatalf("%s: after %d of %d: %v", why, i, times, err)
		}
	}
}

// After 1e6 PINGs from a peer that is not reading, the conn still reads, and few PONGs
// are pending.
func TestAdversaryPingFlood(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := mutePeer(t, s.connect())
	p.write(hello(1), open(1))
	x := s.accept("open")
	go x.Write(make([]byte, 65536))
	before := heap()
	p.hog("PINGs", bytes.Repeat(ping("12345678"), 1000), 1000)
	p.write(ping("the last"), data(1, "read"))
	wantRead(t, "all PINGs were read", x, "read")
	if more := heap() - before; more > 4<<20 {
		t.Errorf("%d bytes are still in use after 1e6 PINGs", more)
	}
	go p.read()
	for {
		f, err := p.next(typePing, typeWindow)
		if err != nil {
			t.Fatalf("before the last PONG: %v", err)
		}
		if f.is(typePong) && string(f.payload[1:]) == "the last" {
			break
		}
	}
}

// A peer that does not read other frames sent in response, such as RESETs for refused
// sessions, can neither make them pile up without limit nor stop the reader.
func TestAdversaryAnswersUnread(t *testing.T) {
	s := newServer(t, remux.Config{SessMax: 1})
	p := mutePeer(t, s.connect())
	p.write(hello(1), open(65535))
	x := s.accept("open")
	before := heap()
	var b []byte
	for n := 1; n < 65535; n += 2 {
		b = append(b, data(uint16(n), "x")...)
	}
	p.hog("sessions to be refused", b, 1)
	p.write(data(65535, "read"))
	wantRead(t, "all were read", x, "read")
	if more := heap() - before; more > 16<<20 {
		t.Errorf("32767 refused sessions hold %d bytes", more)
	}
	go p.read()
	p.wantHello()
	for n := 1; n < 65535; n += 2 {
		p.wantReset("refused", uint16(n), code.Overload)
	}
	p.wantIdle("nothing more")
}

func TestAdversarySessMax(t *testing.T) {
	s := newServer(t, remux.Config{SessMax: 10})
	p := s.raw()
	p.write(hello(1))
	if h := p.wantHello(); h.keys[2] != 10 {
		t.Errorf("HELLO grants %d sessions", h.keys[2])
	}
	var xs []remux.Session
	for n := uint16(1); n < 21; n += 2 {
		xs = append(xs, s.wantNext("up to SessMax", p, n))
	}
	p.write(data(21, "x"))
	p.wantReset("one more", 21, code.Overload)
	p.write(data(21, "x"), fin(21), open(23))
	p.wantReset("and one more", 23, code.Overload)
	p.write(data(19, "unharmed"))
	wantRead(t, "the others", xs[9], "unharmed")
	p.write(fin(1))
	wantEOF(t, "the first", xs[0], "")
	xs[0].CloseWrite()
	p.wantFrame("one has ended", fin(1))
	s.wantNext("then there is room", p, 25)
	p.write(reset(3, code.General, ""))
	s.wantNext("then there is room", p, 27)
	p.wantIdle("nothing more")
}

// If Accept is not called, sessions for which there is no room are refused, and the
// reader continues.
func TestAdversaryNoAccept(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	var b []byte
	for n := 1; n < 65535; n += 2 {
		b = append(b, data(uint16(n), "sentinel")...)
	}
	p.hog("sessions that are not accepted", b, 1)
	refused := map[uint16]bool{}
	p.write(ping("all read"))
	for {
		f, err := p.next(typePing, typeWindow)
		if err != nil {
			t.Fatal(err)
		}
		if f.is(typePong) {
			break
		}
		n := binary.BigEndian.Uint16(f.payload[1:])
		if !f.is(typeReset) || code.Code(f.payload[3]) != code.Overload || n%2 == 0 || refused[n] {
			t.Fatalf("want RESETs with 0x15, got %v", f)
		}
		refused[n] = true
	}
	if len(refused) == 0 {
		t.Error("32767 sessions were queued for an application that does not call Accept")
	}
	for range 32767 - len(refused) {
		x := s.accept("the others")
		if refused[x.ID().Number] {
			t.Fatalf("session %v was refused and accepted", x.ID())
		}
	}
	s.wantNext("and there is room again", p, 65535)
}

// After 30000 sessions have been opened and reset immediately, nothing is left of them,
// whether or not they were accepted.
func TestAdversaryRapidReset(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		t.Run(fmt.Sprint("accepted ", accepted), func(t *testing.T) {
			budget := remux.NewBudget(64 << 20)
			var mu sync.Mutex
			opened, closed := 0, 0
			s := newServer(t, remux.Config{Budget: budget, Hooks: &remux.Hooks{
				SessionOpened: func(remux.ID) { mu.Lock(); opened++; mu.Unlock() },
				SessionClosed: func(remux.ID, error) { mu.Lock(); closed++; mu.Unlock() },
			}})
			p := s.full()
			serve := func() {
				go func() {
					for {
						c, err := s.Accept()
						if err != nil {
							return
						}
						b := make([]byte, 8)
						if n, _ := io.ReadFull(c, b); string(b[:n]) == "the last" {
							c.Write(b)
						}
						c.Close()
					}
				}()
			}
			if accepted {
				serve()
			}
			p.barrier("ready")
			before, goroutines := heap(), runtime.NumGoroutine()
			var b []byte
			for n := 1; n < 60001; n += 2 {
				b = append(b, data(uint16(n), strings.Repeat("x", 100))...)
				b = append(b, reset(uint16(n), code.Cancelled, "")...)
			}
			p.hog("open and RESET", b, 1)
			b = nil
			skipResets := func() {
				for {
					f, err := p.next(typePing, typeWindow, typeReset)
					if err != nil {
						t.Fatal(err)
					}
					if f.is(typePong) {
						return
					}
				}
			}
			p.write(ping("all read"))
			skipResets()
			if !accepted {
				serve()
			}
			last := uint16(60001)
			for p.write(data(last, "the last")); ; p.write(data(last, "the last")) {
				f, err := p.next(typePing, typeWindow)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(f.wire(), data(last, "the last")) {
					break
				}
				if last > 65000 || accepted || !f.is(typeReset) || code.Code(f.payload[3]) != code.Overload {
					t.Fatalf("the conn no longer works: %v", f)
				}
				last += 2 // ended sessions are still being accepted
			}
			p.wantFrame("and its end", fin(last))
			p.write(fin(last))
			within(t, "nothing is buffered or granted", func() {
				for !remux.Unused(budget) {
					runtime.Gosched()
				}
			})
			if n := runtime.NumGoroutine(); n > goroutines+3 {
				t.Errorf("%d goroutines, %d before", n, goroutines)
			}
			if more := heap() - before; more > 4<<20 {
				t.Errorf("%d bytes are still in use", more)
			}
			within(t, "every opened session is reported closed", func() {
				for {
					mu.Lock()
					o, c := opened, closed
					mu.Unlock()
					if o == c {
						return
					}
					runtime.Gosched()
				}
			})
		})
	}
}

// Many unknown control frames, WINDOWs and padding frames do not leave memory in use.
func TestAdversaryNoise(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	noise := bytes.Join([][]byte{padding(), control(99, "?"), window(1, 1<<50), open(1), pong("12345678"), control(200, strings.Repeat("?", 1000))}, nil)
	before := heap()
	p.hog("noise", bytes.Repeat(noise, 100), 100)
	p.wantIdle("nothing is sent in response")
	if more := heap() - before; more > 4<<20 {
		t.Errorf("%d bytes are still in use after the noise", more)
	}
	p.write(data(1, "ok"))
	wantRead(t, "the session", x, "ok")
}
