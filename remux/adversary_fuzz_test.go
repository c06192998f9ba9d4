package remux_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// feed plays a peer that sends b, in pieces of the given size, to a real conn with an
// application that echoes. It expects the conn to close when the stream ends, without
// leaking anything, and returns the frames received.
func feed(t *testing.T, dialer bool, b []byte, piece int) []frame {
	before, start := runtime.NumGoroutine(), time.Now()
	mine, theirs := net.Pipe()
	var end io.Closer
	if dialer {
		ln := &pipeListener{make(chan net.Conn, 1), make(chan struct{})}
		ln.conns <- theirs
		l := remux.Config{SessMax: 100}.NewListener(ln)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go echo(c.(remux.Session))
			}
		}()
		end = l
	} else {
		c := newFedClient(theirs)
		go func() {
			for range 3 {
				if x, err := c.Dial(); err == nil {
					x.Write([]byte("hello"))
					go echo(x.(remux.Session))
				}
			}
		}()
		end = c
	}
	got := make(chan []frame)
	go func() {
		var fs []frame
		for {
			f, err := readFrame(mine)
			if err != nil {
				got <- fs
				return
			}
			fs = append(fs, f)
		}
	}()
	mine.SetWriteDeadline(time.Now().Add(patience))
	for len(b) > 0 {
		n := min(max(piece, 1), len(b))
		if _, err := mine.Write(b[:n]); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Fatal("the conn's reader is stuck")
			}
			break
		}
		b = b[n:]
	}
	mine.Close()
	fs := <-got
	within(t, "Close", func() { end.Close() })
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	for late := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(late) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("leaked goroutines:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
	return fs
}

func echo(x remux.Session) {
	io.Copy(x, x)
	x.Close()
}

// sane checks that the received frames conform to PROTOCOL.md, whatever was sent.
func sane(t *testing.T, fs []frame) {
	t.Helper()
	type life struct{ fin, reset bool }
	lives := map[uint16]*life{}
	of := func(n uint16) *life {
		if lives[n] == nil {
			lives[n] = &life{}
		}
		return lives[n]
	}
	goneAway := false
	for i, f := range fs {
		bad := func(why string) { t.Fatalf("frame %d of %d, %v: %s", i, len(fs), f, why) }
		if f.is(typeHello) != (i == 0) {
			bad("only the first frame is HELLO")
		}
		if f.session != 0 {
			switch l := of(f.session); {
			case l.fin || l.reset:
				bad("after the end")
			case len(f.payload) == 0:
				l.fin = true
			}
			continue
		}
		body := map[byte]int{typePing: 8, typePong: 8, typeWindow: 10, typeOpen: 2}
		switch {
		case len(f.payload) == 0 || len(f.payload) > 1024 || f.payload[0] > typeOpen:
			bad("not in PROTOCOL.md")
		case body[f.payload[0]] != 0 && body[f.payload[0]] != len(f.payload)-1:
			bad("wrong length")
		case f.is(typeReset):
			l := of(binary.BigEndian.Uint16(f.payload[1:]))
			if l.reset {
				bad("RESET twice")
			}
			l.reset = true
		case f.is(typeWindow):
			if of(binary.BigEndian.Uint16(f.payload[1:])).reset {
				bad("WINDOW after RESET")
			}
		case f.is(typeGoAway):
			if goneAway && code.Code(f.payload[3]) != code.Protocol {
				bad("GOAWAY twice")
			}
			goneAway = true
		}
	}
}

func FuzzConn(f *testing.F) {
	h := hello(7)
	for _, b := range [][]byte{
		nil, {0}, h, h[:9], data(1, "basic"), fin(1),
		join(h, data(1, "hi"), fin(1), data(1, "x")),
		join(h, data(1, "hi"), reset(1, code.Refused, "no\n"), data(1, "x")),
		join(h, open(1), window(1, 1<<63), ping("12345678"), pong("12345678")),
		join(h, goAway(1, code.OK, ""), data(3, "x")),
		join(h, data(2, "x")), join(h, window(2, 5)), join(h, raw(0, 1025, "")),
		join(hello(0, 3, 1), data(1, "echo this"), fin(1)), join(data(2, "b"), fin(2), data(2, "c"), padding(), h),
	} {
		f.Add(true, uint16(1000), b)
		f.Add(false, uint16(1), b)
	}
	f.Fuzz(func(t *testing.T, dialer bool, piece uint16, b []byte) {
		sane(t, feed(t, dialer, b, int(piece)))
	})
}

// FuzzFrames turns every four bytes of its input into a frame, so that it gets further
// than HELLO. Some frames are corrupted.
func FuzzFrames(f *testing.F) {
	f.Add(true, []byte("\x00\x01\x05\x00\x01\x01\x00\x00\x00\x01\x05\x00"))
	f.Add(true, []byte("\x00\x01\x05\x00\x03\x01\x11\x00\x00\x01\x05\x00\x04\x00\x00\x00\x07\x02\x00\x00"))
	f.Add(true, []byte("\x06\x01\x00\x00\x02\x01\xff\x00\x05\x01\x00\x00\x00\x03\xff\x00\x08\x00\x09\x03"))
	f.Add(false, []byte("\x00\x01\x05\x00\x01\x01\x00\x00\x02\x03\x20\x00\x03\x05\x12\x00\x00\x03\x01\x00"))
	f.Add(false, []byte("\x05\x01\x17\x00\x00\x01\x30\x00\x01\x01\x00\x00\x09\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, dialer bool, ops []byte) {
		b := hello(7, 1, 65536+uint32(len(ops)))
		for ; len(ops) >= 4; ops = ops[4:] {
			n, arg, bend := uint16(ops[1]), ops[2], ops[3]
			var x []byte
			switch ops[0] % 10 {
			case 0:
				x = data(n, pattern(int(arg)*17))
			case 1:
				x = fin(n)
			case 2:
				x = window(n, uint64(arg)<<12)
			case 3:
				x = reset(n, code.Code(arg), "because")
			case 4:
				x = ping("12345678")
			case 5:
				x = goAway(n, code.Code(arg), "away")
			case 6:
				x = open(n)
			case 7:
				x = pong(be64(uint64(arg)))
			case 8:
				x = control(arg, pattern(int(bend)))
			case 9:
				x = padding()
			}
			if bend >= 0xf0 { // flip a bit
				x[int(arg)%len(x)] ^= 1 << (bend & 7)
			}
			b = append(b, x...)
		}
		fs := feed(t, dialer, b, 4096)
		sane(t, fs)
		parity := uint16(1)
		if dialer {
			parity = 0
		}
		for _, x := range fs {
			if x.is(typeOpen) && binary.BigEndian.Uint16(x.payload[1:])%2 != parity {
				t.Fatal(fmt.Sprint("opened one of our numbers: ", x))
			}
		}
	})
}
