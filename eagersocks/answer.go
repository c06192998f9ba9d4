package eagersocks

import (
	"errors"
	"net/netip"

	"tunnels/internal/code"
)

var errNoAsker = errors.New("request is not from a listener, so there is no peer to answer")

// Asker is the side that made a request and is owed one answer. Its methods may be
// called from any goroutine; every call of Reply or Refuse after the first fails.
type Asker interface {
	// Reply reports that the target is connected. bound is where datagrams are
	// accepted; it is invalid for a stream.
	Reply(bound netip.AddrPort) error
	// Refuse reports why the target is not connected, and ends the connection.
	Refuse(c code.Code, text string) error
	// Early returns the bytes that followed the request and have already arrived;
	// reading from the connection no longer returns them.
	Early() []byte
}

// NewRequest returns a request read by a door, which is answered by calling from.
func NewRequest(command Command, target Address, from Asker) *Request {
	return &Request{Command: command, Target: target, asker: from}
}

// socks5Dialect encodes answers as RFC 1928 section 6.
type socks5Dialect struct{}

// Accepted implements appconn.Dialect.
func (socks5Dialect) Accepted(bound netip.AddrPort) []byte { return appendReply(nil, code.OK, bound) }

// Refused implements appconn.Dialect.
func (socks5Dialect) Refused(c code.Code, _ string) []byte { return AppendReply(nil, c) }

// Reply tells the application that the target is connected or, if eager, will be. It
// does nothing for a request that wants no reply. It fails if the request has already
// been answered or cannot be answered. Reply sets and clears the connection's write
// deadline.
func (r *Request) Reply() error { return r.ReplyBound(netip.AddrPort{}) }

// ReplyBound is like Reply and also reports where datagrams are accepted (RFC 1928
// section 7).
func (r *Request) ReplyBound(bound netip.AddrPort) error {
	if r.asker == nil {
		return errNoAsker
	}
	return r.asker.Reply(bound)
}

// Refuse tells the application why the target is not connected, and ends the
// connection. A peer that is waiting for a reply gets one, and up to two seconds to
// read it; any other is reset, with the code and the text if the connection can carry
// them (code.Resetter). It fails if the request has already been answered or cannot be
// answered.
func (r *Request) Refuse(c code.Code, text string) error {
	if r.asker == nil {
		return errNoAsker
	}
	return r.asker.Refuse(c, text)
}

// Early returns the bytes that the application has sent after its request and that have
// already arrived, so that they can be written together with the request. Read does not
// return them again; call Early before reading.
func (r *Request) Early() []byte {
	if r.asker == nil {
		return nil
	}
	return r.asker.Early()
}
