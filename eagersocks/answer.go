package eagersocks

import (
	"errors"
	"net/netip"

	"tunnels/internal/code"
)

var errNoAsker = errors.New("request is not from a listener, so there is no peer to answer")

// Asker answers the peer that made a request. Its methods may be called from any
// goroutine. Only the first call to Reply or Refuse succeeds.
type Asker interface {
	// Reply reports that the target is connected. bound is the address that accepts
	// datagrams; it is invalid for a stream.
	Reply(bound netip.AddrPort) error
	// Refuse reports why the target is not connected, and ends the connection.
	Refuse(c code.Code, text string) error
	// Early returns the bytes received so far after the request. Reading from the
	// connection does not return them again.
	Early() []byte
}

// NewRequest returns a request that a door has read. It is answered through from.
func NewRequest(command Command, target Address, from Asker) *Request {
	return &Request{Command: command, Target: target, asker: from}
}

// socks5Dialect encodes replies as in RFC 1928 section 6.
type socks5Dialect struct{}

// Accepted implements appconn.Dialect.
func (socks5Dialect) Accepted(bound netip.AddrPort) []byte { return appendReply(nil, code.OK, bound) }

// Refused implements appconn.Dialect.
func (socks5Dialect) Refused(c code.Code, _ string) []byte { return AppendReply(nil, c) }

// Reply reports to the application that the target is connected or, for an eager
// request, that it will be. It does nothing if no reply is wanted. It fails if the
// request has already been answered or cannot be answered. Reply sets and clears the
// connection's write deadline.
func (r *Request) Reply() error { return r.ReplyBound(netip.AddrPort{}) }

// ReplyBound is like Reply and also reports the address that accepts datagrams (RFC 1928
// section 7).
func (r *Request) ReplyBound(bound netip.AddrPort) error {
	if r.asker == nil {
		return errNoAsker
	}
	return r.asker.Reply(bound)
}

// Refuse reports to the application why the target is not connected, then closes the
// connection. A peer waiting for a reply is sent one and has up to two seconds to read
// it. Any other connection is reset, with the code and text if it can carry them
// (code.Resetter). It fails if the request has already been answered or cannot be
// answered.
func (r *Request) Refuse(c code.Code, text string) error {
	if r.asker == nil {
		return errNoAsker
	}
	return r.asker.Refuse(c, text)
}

// Early returns the bytes received so far after the application's request, so that they
// can be written together with it. Read does not return them again, so call Early before
// reading.
func (r *Request) Early() []byte {
	if r.asker == nil {
		return nil
	}
	return r.asker.Early()
}
