package remux_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"

	"tunnels/internal/code"
)

// besides returns which of the control frame types PING and WINDOW to skip while waiting
// for f.
func besides(f []byte) []byte {
	var skip []byte
	for _, typ := range []byte{typePing, typeWindow} {
		if len(f) < 5 || f[0] != 0 || f[1] != 0 || f[4] != typ {
			skip = append(skip, typ)
		}
	}
	return skip
}

// wantFrame expects exactly this frame next.
func (p *peer) wantFrame(why string, want []byte) {
	p.Helper()
	f, err := p.next(besides(want)...)
	if err != nil {
		p.Fatalf("%s: want %x, got %v", why, want, err)
	}
	if !bytes.Equal(f.wire(), want) {
		p.Fatalf("%s: want %x, got %v", why, want, f)
	}
}

// wantType expects a control frame of the given type next, with any content.
func (p *peer) wantType(why string, typ byte) frame {
	p.Helper()
	f, err := p.next(besides([]byte{0, 0, 0, 0, typ})...)
	if err != nil || !f.is(typ) {
		p.Fatalf("%s: want a control frame of type %d, got %v, %v", why, typ, f, err)
	}
	return f
}

// wantData expects these bytes on session n, in frames of any size.
func (p *peer) wantData(why string, n uint16, want string) {
	p.Helper()
	for got := ""; len(got) < len(want); {
		f, err := p.next(typePing, typeWindow)
		if err != nil || f.session != n || len(f.payload) == 0 {
			p.Fatalf("%s: want data on session %d, received %d bytes, then %v, %v", why, n, len(got), f, err)
		}
		got += string(f.payload)
		if len(got) > len(want) || got != want[:len(got)] {
			p.Fatalf("%s: wrong bytes on session %d: %.40q", why, n, got)
		}
	}
}

// wantReset expects a RESET of session n with code c next.
func (p *peer) wantReset(why string, n uint16, c code.Code) {
	p.Helper()
	f, err := p.next(typePing, typeWindow)
	if err != nil || !f.is(typeReset) || len(f.payload) < 4 ||
		binary.BigEndian.Uint16(f.payload[1:]) != n || code.Code(f.payload[3]) != c {
		p.Fatalf("%s: want RESET of %d with 0x%02x, got %v, %v", why, n, byte(c), f, err)
	}
}

// wantGoAway expects GOAWAY with code c next, and returns the last session that it names.
func (p *peer) wantGoAway(why string, c code.Code) (last uint16) {
	p.Helper()
	f, err := p.next(typePing, typeWindow)
	if err != nil || !f.is(typeGoAway) || len(f.payload) < 4 || code.Code(f.payload[3]) != c {
		p.Fatalf("%s: want GOAWAY with 0x%02x, got %v, %v", why, byte(c), f, err)
	}
	return binary.BigEndian.Uint16(f.payload[1:])
}

// wantLeaving expects the GOAWAY of an orderly shutdown.
func (p *peer) wantLeaving(why string) (last uint16) {
	p.Helper()
	f := p.wantType(why, typeGoAway)
	if len(f.payload) < 4 || code.Code(f.payload[3]) == code.Protocol {
		p.Fatalf("%s: want GOAWAY for an orderly end, got %v", why, f)
	}
	return binary.BigEndian.Uint16(f.payload[1:])
}

// wantClosed expects the end of the stream next.
func (p *peer) wantClosed(why string) {
	p.Helper()
	f, err := p.next(typePing, typeWindow)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		p.Fatalf("%s: want the end of the conn, got %v, %v", why, f, err)
	}
	if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrClosedPipe) {
		p.Fatalf("%s: want the end of the conn, got %v", why, err)
	}
}

// wantProtocolError expects GOAWAY with a protocol error, then the end.
func (p *peer) wantProtocolError(why string) {
	p.Helper()
	p.wantGoAway(why, code.Protocol)
	p.wantClosed(why)
}

// barrier sends a PING and expects its PONG: the other end has read everything sent
// before it, and has sent only PINGs and WINDOWs.
func (p *peer) barrier(why string) {
	p.Helper()
	p.n++
	mark := be64(p.n<<32 | 0xbeef)
	p.write(ping(mark))
	p.wantFrame(why, pong(mark))
}

// wantIdle expects that nothing is about to arrive. The second PONG would follow any
// frames that were queued when the first PING arrived.
func (p *peer) wantIdle(why string) {
	p.Helper()
	p.barrier(why)
	p.barrier(why)
}
