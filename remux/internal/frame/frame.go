// Package frame encodes and decodes the frames on a conn. It is independent of package
// conn. docs/PROTOCOL.md describes the wire format.
package frame

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
	HeaderLen  = 4
	MaxPayload = 1<<16 - 1
	MaxControl = 1 << 10 // largest payload of a control frame
	maxText    = 512     // longest text of RESET and GOAWAY that we send
	LastID     = 1<<16 - 1
)

// Control frame types.
const (
	TypeHello  = 1  // version uint8 | conn id uint32 | n × (key uint8 | value uint32)
	TypeWindow = 2  // session uint16 | limit uint64
	TypeReset  = 3  // session uint16 | code uint8 | text
	TypePing   = 4  // 8 bytes
	TypePong   = 5  // the same 8 bytes
	TypeGoAway = 6  // last session uint16 | code uint8 | text
	TypeOpen   = 7  // session uint16
	TypeLeave  = 12 // session uint16 | conn id uint32 | its session there uint16
	TypeJoin   = 13 // session uint16 | conn id uint32 | its session there uint16
)

// HELLO keys.
const (
	keyWindow   = 1 // payload bytes that may be sent on a session before any WINDOW
	keySessions = 2 // sessions the sender accepts at a time
	keyFrame    = 3 // largest payload of a data frame the sender accepts
	keyFeatures = 4 // bits, see FeatureMoves
	keyInstance = 5 // this key and the next three: 128 bits that conns of one client share
)

// FeatureMoves is the bit of HELLO's features that permits JOIN and LEAVE.
const FeatureMoves = 1 << 1

// Instance identifies the client process that a conn belongs to, or is zero.
type Instance [4]uint32

// Floor is the window every session starts with, even before HELLO has been received.
const Floor = 64 << 10

// Version is the protocol version that this package implements.
const Version = 1

// Hello is the body of HELLO.
type Hello struct {
	Version  uint8
	Conn     uint32
	Window   uint32
	Sessions uint32
	Frame    uint32
	Features uint32
	Instance Instance
}

// Control is one decoded control frame. Which fields are set depends on Type.
type Control struct {
	Type    uint8
	Session uint16 // in GOAWAY: the last session
	Limit   uint64
	Code    code.Code
	Text    []byte // aliases the payload
	Ping    [8]byte
	Hello   Hello

	// In JOIN and LEAVE: where the session was, or where it goes.
	Conn  uint32
	There uint16
}

// AppendHeader appends the header of a frame with n bytes of payload.
func AppendHeader(b []byte, session uint16, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

func appendControl(b []byte, typ byte, bodyLen int) []byte {
	return append(AppendHeader(b, 0, 1+bodyLen), typ)
}

// AppendHello appends a HELLO.
func AppendHello(b []byte, h Hello) []byte {
	values := [...]uint32{
		keyWindow: h.Window, keySessions: h.Sessions, keyFrame: h.Frame, keyFeatures: h.Features,
		keyInstance: h.Instance[0], h.Instance[1], h.Instance[2], h.Instance[3],
	}
	keys := len(values)
	if h.Instance == (Instance{}) {
		keys = keyInstance
	}
	b = appendControl(b, TypeHello, 1+4+(keys-1)*5)
	b = append(b, h.Version)
	b = binary.BigEndian.AppendUint32(b, h.Conn)
	for key := 1; key < keys; key++ {
		b = append(b, byte(key))
		b = binary.BigEndian.AppendUint32(b, values[key])
	}
	return b
}

// AppendWindow appends a WINDOW that raises the session's limit.
func AppendWindow(b []byte, session uint16, limit uint64) []byte {
	b = appendControl(b, TypeWindow, 10)
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint64(b, limit)
}

// AppendEnding appends a RESET or GOAWAY, with its text truncated to 512 bytes.
func AppendEnding(b []byte, typ byte, session uint16, c code.Code, text string) []byte {
	text = text[:min(len(text), maxText)]
	b = appendControl(b, typ, 3+len(text))
	b = binary.BigEndian.AppendUint16(b, session)
	b = append(b, byte(c))
	return append(b, text...)
}

// AppendPing appends a PING or PONG.
func AppendPing(b []byte, typ byte, body [8]byte) []byte {
	return append(appendControl(b, typ, 8), body[:]...)
}

// AppendOpen appends an OPEN.
func AppendOpen(b []byte, session uint16) []byte {
	return binary.BigEndian.AppendUint16(appendControl(b, TypeOpen, 2), session)
}

// NamesSession reports whether control frames of the type are about one session.
func NamesSession(typ uint8) bool {
	switch typ {
	case TypeWindow, TypeReset, TypeOpen, TypeLeave, TypeJoin:
		return true
	}
	return false
}

// AppendMove appends a JOIN or LEAVE for a session that is number there on the conn with
// the given id.
func AppendMove(b []byte, typ byte, session uint16, conn uint32, there uint16) []byte {
	b = binary.BigEndian.AppendUint16(appendControl(b, typ, 8), session)
	b = binary.BigEndian.AppendUint32(b, conn)
	return binary.BigEndian.AppendUint16(b, there)
}

// ParseControl decodes the payload of a control frame. For an unknown type, which must be
// ignored, only Type is set.
func ParseControl(p []byte) (Control, error) {
	if len(p) == 0 {
		return Control{}, nil // padding
	}
	f := Control{Type: p[0]}
	body := p[1:]
	bad := func(name string) (Control, error) {
		return f, fmt.Errorf("malformed %s of %d bytes", name, len(body))
	}
	switch f.Type {
	case TypeHello:
		return parseHello(f, body)
	case TypeWindow:
		if len(body) != 10 {
			return bad("WINDOW")
		}
		f.Session = binary.BigEndian.Uint16(body)
		f.Limit = binary.BigEndian.Uint64(body[2:])
	case TypeReset, TypeGoAway:
		if len(body) < 3 {
			return bad("RESET or GOAWAY")
		}
		f.Session = binary.BigEndian.Uint16(body)
		f.Code = code.Code(body[2])
		f.Text = body[3:]
	case TypePing, TypePong:
		if len(body) != 8 {
			return bad("PING or PONG")
		}
		f.Ping = [8]byte(body)
	case TypeOpen:
		if len(body) != 2 {
			return bad("OPEN")
		}
		f.Session = binary.BigEndian.Uint16(body)
	case TypeJoin, TypeLeave:
		if len(body) != 8 {
			return bad("JOIN or LEAVE")
		}
		f.Session = binary.BigEndian.Uint16(body)
		f.Conn = binary.BigEndian.Uint32(body[2:])
		f.There = binary.BigEndian.Uint16(body[6:])
	}
	return f, nil
}

func parseHello(f Control, body []byte) (Control, error) {
	if len(body) < 5 || (len(body)-5)%5 != 0 {
		return f, fmt.Errorf("malformed HELLO of %d bytes", len(body))
	}
	h := Hello{Version: body[0], Conn: binary.BigEndian.Uint32(body[1:]), Window: Floor, Sessions: LastID, Frame: MaxPayload}
	if h.Version == 0 {
		return f, fmt.Errorf("HELLO with version 0")
	}
	for kv := body[5:]; len(kv) > 0; kv = kv[5:] {
		value := binary.BigEndian.Uint32(kv[1:])
		switch kv[0] {
		case keyWindow:
			h.Window = value
		case keySessions:
			h.Sessions = value
		case keyFrame:
			h.Frame = value
		case keyFeatures:
			h.Features = value
		case keyInstance, keyInstance + 1, keyInstance + 2, keyInstance + 3:
			h.Instance[kv[0]-keyInstance] = value
		}
	}
	if h.Window < Floor {
		return f, fmt.Errorf("HELLO with an initial window of %d, less than %d", h.Window, Floor)
	}
	if h.Frame == 0 {
		return f, fmt.Errorf("HELLO with a maximum frame size of 0")
	}
	f.Hello = h
	return f, nil
}
