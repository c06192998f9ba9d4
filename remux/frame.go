package remux

import (
	"encoding/binary"
	"fmt"

	"tunnels/internal/code"
)

// A frame is
//
//	session uint16 | length uint16 | payload[length]      big-endian
//
// Session 0 carries control frames, whose payload is type uint8 | body.
const (
	headerLen  = 4
	maxPayload = 1<<16 - 1
	maxControl = 1 << 10 // payload of a control frame
	maxText    = 512     // of RESET and GOAWAY, as we send it
	lastID     = 1<<16 - 1
)

// The types of control frames.
const (
	typeHello  = 1 // version uint8 | conn id uint32 | n × (key uint8 | value uint32)
	typeWindow = 2 // session uint16 | limit uint64
	typeReset  = 3 // session uint16 | code uint8 | text
	typePing   = 4 // 8 bytes
	typePong   = 5 // the same 8 bytes
	typeGoAway = 6 // last session uint16 | code uint8 | text
	typeOpen   = 7 // session uint16
)

// The keys of HELLO.
const (
	keyWindow   = 1 // what may be sent on a session before any WINDOW
	keySessions = 2 // sessions the sender accepts at one time
	keyFrame    = 3 // largest payload of a data frame the sender accepts
	keyFeatures = 4 // bits; none is defined yet
)

// floor is the window every session starts with, also before HELLO has come.
const floor = 64 << 10

// version of the protocol that this package speaks.
const version = 1

// hello is the body of HELLO.
type hello struct {
	version  uint8
	conn     uint32
	window   uint32
	sessions uint32
	frame    uint32
	features uint32
}

// control is one decoded control frame. Which fields are set depends on typ.
type control struct {
	typ     uint8
	session uint16 // of GOAWAY: the last session
	limit   uint64
	code    code.Code
	text    []byte // aliases the payload
	ping    [8]byte
	hello   hello
}

func appendHeader(b []byte, session uint16, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

func appendControl(b []byte, typ byte, bodyLen int) []byte {
	return append(appendHeader(b, 0, 1+bodyLen), typ)
}

func appendHello(b []byte, h hello) []byte {
	b = appendControl(b, typeHello, 1+4+4*5)
	b = append(b, h.version)
	b = binary.BigEndian.AppendUint32(b, h.conn)
	for _, kv := range [...]struct {
		key   byte
		value uint32
	}{{keyWindow, h.window}, {keySessions, h.sessions}, {keyFrame, h.frame}, {keyFeatures, h.features}} {
		b = append(b, kv.key)
		b = binary.BigEndian.AppendUint32(b, kv.value)
	}
	return b
}

func appendWindow(b []byte, session uint16, limit uint64) []byte {
	b = appendControl(b, typeWindow, 10)
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint64(b, limit)
}

func appendEnding(b []byte, typ byte, session uint16, c code.Code, text string) []byte {
	text = text[:min(len(text), maxText)]
	b = appendControl(b, typ, 3+len(text))
	b = binary.BigEndian.AppendUint16(b, session)
	b = append(b, byte(c))
	return append(b, text...)
}

func appendPing(b []byte, typ byte, body [8]byte) []byte {
	return append(appendControl(b, typ, 8), body[:]...)
}

func appendOpen(b []byte, session uint16) []byte {
	return binary.BigEndian.AppendUint16(appendControl(b, typeOpen, 2), session)
}

// parseControl decodes the payload of a control frame. Unknown types give a
// control with only typ set: they are to be ignored.
func parseControl(p []byte) (control, error) {
	if len(p) == 0 {
		return control{}, nil // padding
	}
	f := control{typ: p[0]}
	body := p[1:]
	bad := func(name string) (control, error) {
		return f, fmt.Errorf("malformed %s of %d bytes", name, len(body))
	}
	switch f.typ {
	case typeHello:
		return parseHello(f, body)
	case typeWindow:
		if len(body) != 10 {
			return bad("WINDOW")
		}
		f.session = binary.BigEndian.Uint16(body)
		f.limit = binary.BigEndian.Uint64(body[2:])
	case typeReset, typeGoAway:
		if len(body) < 3 {
			return bad("RESET or GOAWAY")
		}
		f.session = binary.BigEndian.Uint16(body)
		f.code = code.Code(body[2])
		f.text = body[3:]
	case typePing, typePong:
		if len(body) != 8 {
			return bad("PING or PONG")
		}
		f.ping = [8]byte(body)
	case typeOpen:
		if len(body) != 2 {
			return bad("OPEN")
		}
		f.session = binary.BigEndian.Uint16(body)
	}
	return f, nil
}

func parseHello(f control, body []byte) (control, error) {
	if len(body) < 5 || (len(body)-5)%5 != 0 {
		return f, fmt.Errorf("malformed HELLO of %d bytes", len(body))
	}
	h := hello{version: body[0], conn: binary.BigEndian.Uint32(body[1:]), window: floor, sessions: lastID, frame: maxPayload}
	if h.version == 0 {
		return f, fmt.Errorf("HELLO of version 0")
	}
	for kv := body[5:]; len(kv) > 0; kv = kv[5:] {
		value := binary.BigEndian.Uint32(kv[1:])
		switch kv[0] {
		case keyWindow:
			h.window = value
		case keySessions:
			h.sessions = value
		case keyFrame:
			h.frame = value
		case keyFeatures:
			h.features = value
		}
	}
	if h.window < floor {
		return f, fmt.Errorf("HELLO with an initial window of %d, less than %d", h.window, floor)
	}
	if h.frame == 0 {
		return f, fmt.Errorf("HELLO with a largest frame of 0")
	}
	f.hello = h
	return f, nil
}
