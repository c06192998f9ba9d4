package remux_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"unicode"

	"tunnels/internal/code"
	"tunnels/remux"
)

func TestAdversaryNumbers(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	for _, n := range []uint16{9, 3, 65535, 5, 1} {
		x := s.wantNext("numbers in any order", p, n)
		x.Write([]byte("echo"))
		p.wantData("and the reply", n, "echo")
	}
	p.write(open(7))
	if x := s.accept("OPEN opens"); x.ID().Number != 7 {
		t.Fatalf("OPEN 7 opened %v", x.ID())
	}
	p.wantIdle("opening a session is not acknowledged")
}

// Frames that end a session, or arrive later with its number, must never reach another
// session or an application.
func TestAdversaryReuse(t *testing.T) {
	ended := map[string]func(s *server, p *peer){
		"FIN from both": func(s *server, p *peer) {
			x := s.wantNext("open", p, 1)
			p.write(fin(1))
			wantEOF(t, "FIN", x, "")
			x.CloseWrite()
			p.wantFrame("FIN back", fin(1))
		},
		"RESET from the peer": func(s *server, p *peer) {
			s.wantNext("open", p, 1)
			p.write(reset(1, code.General, ""))
		},
		"RESET from us": func(s *server, p *peer) {
			s.wantNext("open", p, 1).Reset(code.Refused, "no")
			p.wantReset("our RESET", 1, code.Refused)
		},
		"FIN for a number never opened": func(s *server, p *peer) { p.write(fin(1)) },
	}
	again := map[string][]byte{
		"data": data(1, "again"), "FIN": fin(1), "OPEN": open(1),
		"RESET": reset(1, code.General, "again"), "WINDOW": window(1, 1<<30),
	}
	for how, end := range ended {
		for what, frame := range again {
			t.Run(how+", then "+what, func(t *testing.T) {
				s := newServer(t, remux.Config{})
				p := s.full()
				end(s, p)
				p.wantIdle("the session has ended")
				p.write(frame, frame)
				p.wantIdle("frames after the end are dropped")
				s.wantNext("the next session is a new one", p, 3)
				p.wantIdle("and nothing else")
			})
		}
	}
}

func TestAdversaryAfterFIN(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	other := s.wantNext("the other session", p, 3)
	x := s.wantNext("open", p, 1)
	p.write(data(1, "all"), fin(1), data(1, "more"))
	p.wantReset("data after FIN", 1, code.Protocol)
	wantEOF(t, "a direction whose FIN has arrived is complete", x, "all")
	if _, err := x.Write([]byte("x")); err == nil {
		t.Error("a Write succeeded after the session was reset")
	}
	p.write(data(3, "unharmed"))
	wantRead(t, "the other session", other, "unharmed")
	p.wantIdle("nothing more")
}

func TestAdversaryReset(t *testing.T) {
	for _, c := range []struct {
		why    string
		frames [][]byte
		want   string // bytes read before the error
		code   code.Code
		clean  bool
	}{
		{"RESET", [][]byte{reset(1, code.Refused, "no")}, "", code.Refused, false},
		{"data, RESET", [][]byte{data(1, "lost"), reset(1, code.Cancelled, "")}, "", code.Cancelled, false},
		{"data, RESET 0", [][]byte{data(1, "lost"), reset(1, 0, "")}, "", 0, false},
		{"data, RESET with an unknown code", [][]byte{data(1, "lost"), reset(1, 0xee, "")}, "", 0xee, false},
		{"data, RESET 0x12", [][]byte{data(1, "kept"), reset(1, code.TargetReset, "")}, "kept", code.TargetReset, false},
		{"data, FIN, RESET", [][]byte{data(1, "kept"), fin(1), reset(1, code.General, "")}, "kept", 0, true},
		{"FIN, RESET 0x12", [][]byte{fin(1), reset(1, code.TargetReset, "")}, "", 0, true},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := newServer(t, remux.Config{})
			p := s.full()
			x := s.wantNext("open", p, 1)
			p.write(c.frames...)
			p.wantIdle("RESET is not answered")
			<-x.Done()
			if c.clean {
				wantEOF(t, c.why, x, c.want)
			} else {
				err := wantCode(t, c.why, x, c.want, c.code)
				var e *code.Error
				if !errors.As(err, &e) || !e.Remote {
					t.Errorf("the error is not marked as remote: %#v", err)
				}
			}
			if _, err := x.Write([]byte("x")); err == nil {
				t.Error("a Write to a reset session succeeded")
			}
			p.wantIdle("and sends nothing")
		})
	}
}

// RESET wakes a blocked Read, and a blocked Write.
func TestAdversaryResetWakes(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	errs := make(chan error, 2)
	go func() {
		_, err := x.Read(make([]byte, 1))
		errs <- err
	}()
	go func() {
		_, err := x.Write(make([]byte, 1<<20))
		errs <- err
	}()
	p.wantData("the Write has filled its window", 1, strings.Repeat("\x00", 65536))
	p.write(reset(1, code.Timeout, "late"))
	within(t, "Read and Write", func() {
		for range 2 {
			if err := <-errs; err == nil || err == io.EOF {
				t.Errorf("woken with %v", err)
			}
		}
	})
	p.wantIdle("nothing more")
}

func TestAdversaryResetText(t *testing.T) {
	text := "a\nb\r\x1b[31mred\x00\xff\u202eü" + strings.Repeat("x", 900)
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	p.write(reset(1, code.Refused, text))
	err := wantCode(t, "RESET", x, "", code.Refused)
	for _, r := range err.Error() {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			t.Errorf("Error() contains %q: %.60q", r, err.Error())
		}
	}
	var e *code.Error
	if !errors.As(err, &e) || e.Text != text {
		t.Errorf("received the text as %.60q", e.Text)
	}

	y := s.wantNext("open", p, 3)
	y.Reset(code.Refused, strings.Repeat("é\n", 1000))
	f := p.wantType("our RESET", typeReset)
	if n := len(f.payload) - 4; n > 512 || n < 500 {
		t.Errorf("the text sent has %d bytes", n)
	}
}

// A RESET overtakes its session's unsent bytes; one with 0x12 does not.
func TestAdversaryResetOurs(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	for i, c := range []code.Code{code.TargetReset, code.Cancelled, code.OK} {
		n := uint16(2*i + 1)
		x := s.wantNext("open", p, n)
		x.Write([]byte("before"))
		if c != code.TargetReset {
			p.wantData("sent", n, "before")
		}
		x.Reset(c, "why")
		if c == code.TargetReset {
			p.wantData("0x12 follows the data", n, "before")
		}
		p.wantFrame("RESET", reset(n, c, "why"))
		if _, err := x.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read after Reset: %v", err)
		}
		p.wantIdle("nothing after RESET")
	}
}

func TestAdversaryClose(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("Close, and the peer finishes too", p, 1)
	x.Close()
	p.wantFrame("end of session after Close", fin(1))
	p.write(fin(1))
	within(t, "Done", func() { <-x.Done() })

	x = s.wantNext("Close after the peer's FIN", p, 3)
	p.write(fin(3))
	wantEOF(t, "FIN", x, "")
	x.Close()
	p.wantFrame("clean", fin(3))

	x = s.wantNext("Close with unread bytes", p, 5)
	p.write(data(5, "unread"))
	p.barrier("they have arrived")
	x.Close()
	p.wantReset("not clean", 5, code.Cancelled)

	x = s.wantNext("Close, but the peer continues", p, 7)
	x.Close()
	p.wantFrame("FIN", fin(7))
	p.write(data(7, "more"))
	p.wantReset("its data will not be read", 7, code.Cancelled)

	x = s.wantNext("Close twice", p, 9)
	x.Close()
	x.Close()
	p.wantFrame("one FIN", fin(9))
	if _, err := x.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := x.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	p.wantIdle("nothing more")
}

// After one direction has ended, the other continues.
func TestAdversaryHalfClose(t *testing.T) {
	s := newServer(t, remux.Config{})
	p := s.full()
	x := s.wantNext("open", p, 1)
	x.CloseWrite()
	x.CloseWrite()
	p.wantFrame("FIN", fin(1))
	if _, err := x.Write([]byte("x")); err == nil {
		t.Error("Write after CloseWrite succeeded")
	}
	p.write(data(1, "still here"))
	wantRead(t, "the other direction", x, "still here")
	p.write(fin(1))
	wantEOF(t, "the end", x, "")
	within(t, "Done", func() { <-x.Done() })

	x = s.wantNext("open", p, 3)
	p.write(fin(3))
	wantEOF(t, "the peer's end", x, "")
	x.Write([]byte("reply"))
	p.wantData("our direction continues", 3, "reply")
	x.CloseWrite()
	p.wantFrame("FIN", fin(3))
	p.wantIdle("nothing more")
}

// A pool's session is opened by its first data, or immediately by Dial.
func TestAdversaryPoolOpens(t *testing.T) {
	c := newClient(t, remux.Config{})
	p := c.full()
	x := c.open()
	p.wantIdle("Open sends nothing")
	if n, err := x.Write(nil); n != 0 || err != nil {
		t.Errorf("empty Write: %d, %v", n, err)
	}
	p.wantIdle("nor does an empty Write")
	x.Write([]byte("hi"))
	p.wantFrame("the first data opens the session", data(1, "hi"))

	y, err := c.Dial()
	if err != nil {
		t.Fatal(err)
	}
	p.wantFrame("Dial sends OPEN", open(3))
	y.Write([]byte("hi"))
	p.wantFrame("and then data", data(3, "hi"))

	z := c.open()
	go z.Read(make([]byte, 1))
	p.wantFrame("Read sends OPEN", open(5))

	w := c.open()
	w.Close()
	p.wantIdle("closing an unannounced session sends nothing")

	p.write(data(2, "x"))
	f, err := p.next(typePing, typeWindow)
	if err != nil || !f.is(typeReset) || string(f.payload[1:3]) != be16(2) || code.Code(f.payload[3]) != code.Overload {
		t.Errorf("a session opened to a Pool: want RESET of 2 with 0x15, got %v, %v", f, err)
	}
	p.write(data(1, "yo"))
	wantRead(t, "the conn continues", x, "yo")
}
