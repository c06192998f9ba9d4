// Package code is the one space of codes that says why a session, a conn or a
// request ended: on the wire (RESET, GOAWAY), in a SOCKS reply and in the log.
package code

import (
	"errors"
	"fmt"
)

// Code says why something ended. 0x00 to 0x08 are the reply codes of SOCKS5
// (RFC 1928 section 6); those above 0x10 exist only between our two ends.
type Code uint8

// The codes. Their values are part of the wire: docs/PROTOCOL.md lists them.
const (
	OK                 Code = 0x00 // nothing is wrong
	General            Code = 0x01 // failure that no other code names
	NotAllowed         Code = 0x02 // the exit's policy forbids the target
	NetUnreachable     Code = 0x03
	HostUnreachable    Code = 0x04 // also: the name does not resolve
	Refused            Code = 0x05
	Timeout            Code = 0x06 // SOCKS5 calls it "TTL expired"
	CommandUnsupported Code = 0x07
	AddressUnsupported Code = 0x08

	Cancelled     Code = 0x11 // the application went away
	TargetReset   Code = 0x12 // the target reset its connection; what it sent before arrives first
	FlowControl   Code = 0x13 // the peer sent more than it was granted
	Protocol      Code = 0x14 // the peer sent what the protocol does not allow
	Overload      Code = 0x15 // no room for one more
	NotAuthorised Code = 0x16
	GoingAway     Code = 0x17 // this end is being stopped
	Idle          Code = 0x18 // unused for too long
)

var names = map[Code]string{
	OK:                 "ok",
	General:            "general failure",
	NotAllowed:         "not allowed by the exit's policy",
	NetUnreachable:     "network unreachable",
	HostUnreachable:    "host unreachable",
	Refused:            "connection refused",
	Timeout:            "timed out",
	CommandUnsupported: "command not supported",
	AddressUnsupported: "address type not supported",
	Cancelled:          "cancelled",
	TargetReset:        "reset by target",
	FlowControl:        "flow control violated",
	Protocol:           "protocol error",
	Overload:           "overload",
	NotAuthorised:      "not authorised",
	GoingAway:          "going away",
	Idle:               "idle for too long",
}

// String is the code in words, as the log and the user see it.
func (c Code) String() string {
	if s, ok := names[c]; ok {
		return s
	}
	return fmt.Sprintf("code 0x%02x", uint8(c))
}

// Reply is the SOCKS5 reply code (RFC 1928 section 6) that says c to an
// application; codes SOCKS5 does not know become "general failure".
func (c Code) Reply() byte {
	if c <= AddressUnsupported {
		return byte(c)
	}
	if c == NotAuthorised {
		return byte(NotAllowed)
	}
	return byte(General)
}

// Error is an ending that was not clean.
type Error struct {
	Code   Code
	Text   string // more about it; may be empty; from a peer: any bytes, quote before printing
	Remote bool   // the peer said so, not this end
}

// Error is the text if there is one, else the code in words. Bytes from the
// peer that are not printable are escaped.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	if !e.Remote {
		return e.Text
	}
	q := fmt.Sprintf("%+q", e.Text)
	return q[1 : len(q)-1]
}

// Told returns the code in words, which nobody outside had a hand in.
func (e *Error) Told() string { return e.Code.String() }

// Of is the code that err, or an error it wraps, carries.
func Of(err error) (Code, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, true
	}
	return OK, false
}

// Resetter is a connection that can be ended abruptly, with a reason: its peer
// sees an error, never a clean end. It ends both directions and returns at once.
type Resetter interface {
	Reset(c Code, text string) error
}
