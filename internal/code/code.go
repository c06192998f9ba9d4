// Package code defines codes for the reason a session, conn or request ended, used on
// the wire (RESET, GOAWAY), in SOCKS replies and in the log.
package code

import (
	"errors"
	"fmt"
)

// Code is the reason something ended. 0x00 to 0x08 are the SOCKS5 reply codes (RFC 1928
// section 6); codes above 0x10 are used only between client and server.
type Code uint8

// The codes. Their values are part of the wire format: docs/PROTOCOL.md lists them.
const (
	OK                 Code = 0x00 // no error
	General            Code = 0x01 // any failure without a code of its own
	NotAllowed         Code = 0x02 // the exit's policy forbids the target
	NetUnreachable     Code = 0x03
	HostUnreachable    Code = 0x04 // also if the name does not resolve
	Refused            Code = 0x05
	Timeout            Code = 0x06 // SOCKS5 calls it "TTL expired"
	CommandUnsupported Code = 0x07
	AddressUnsupported Code = 0x08

	Cancelled     Code = 0x11 // the application closed its connection
	TargetReset   Code = 0x12 // the target reset its connection; data it sent before that arrives first
	FlowControl   Code = 0x13 // the peer sent more than its window allowed
	Protocol      Code = 0x14 // the peer violated the protocol
	Overload      Code = 0x15 // a limit was reached
	NotAuthorised Code = 0x16
	GoingAway     Code = 0x17 // this end is shutting down
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

// String returns the code's description, as used in the log and in messages to users.
func (c Code) String() string {
	if s, ok := names[c]; ok {
		return s
	}
	return fmt.Sprintf("code 0x%02x", uint8(c))
}

// Reply returns the SOCKS5 reply code (RFC 1928 section 6) for c; codes that SOCKS5
// lacks become "general failure".
func (c Code) Reply() byte {
	if c <= AddressUnsupported {
		return byte(c)
	}
	if c == NotAuthorised {
		return byte(NotAllowed)
	}
	return byte(General)
}

// Error is the error for anything that did not end cleanly.
type Error struct {
	Code   Code
	Text   string // details, may be empty; a peer's can contain any bytes, so quote it before printing
	Remote bool   // sent by the peer
}

// Error returns the text or, if it is empty, the code's description. Unprintable bytes
// from the peer are escaped.
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

// Told returns the code's description, which contains no untrusted input.
func (e *Error) Told() string { return e.Code.String() }

// Of returns the code of err or of an error it wraps.
func Of(err error) (Code, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, true
	}
	return OK, false
}

// Resetter is a connection that can be reset with a reason, so that its peer sees an
// error, never a clean end. Reset ends both directions and returns immediately.
type Resetter interface {
	Reset(c Code, text string) error
}
