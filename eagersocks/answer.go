package eagersocks

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

var (
	errAnswered = errors.New("request has been answered already")
	errNobody   = errors.New("request came from nobody who could be answered")
)

const (
	answerMax   = 10 * time.Second // for writing an answer
	lingerMax   = 2 * time.Second  // for who was refused to go
	lingerBytes = 256 << 10        // read from him meanwhile
)

// answer is what is owed to whoever made a request.
type answer struct {
	conn    net.Conn
	dialect dialect // nil: he waits for no reply
	given   atomic.Bool
}

// dialect is how somebody who waits for a reply is told.
type dialect interface {
	// accepted says that the target is connected. bound is where datagrams are
	// taken; invalid for a stream.
	accepted(bound netip.AddrPort) []byte
	// refused says why it is not.
	refused(c code.Code, text string) []byte
}

// socks5Dialect is RFC 1928 section 6.
type socks5Dialect struct{}

func (socks5Dialect) accepted(bound netip.AddrPort) []byte { return appendReply(nil, code.OK, bound) }
func (socks5Dialect) refused(c code.Code, _ string) []byte { return AppendReply(nil, c) }

// Reply says that the target is connected, or in the eager way that it is going
// to be. For a request that wants no reply it does nothing. It fails if the
// request has been answered before or cannot be. Not for use while others set
// write deadlines on the connection.
func (r *Request) Reply() error { return r.ReplyBound(netip.AddrPort{}) }

// ReplyBound is Reply that also says where datagrams are taken (RFC 1928
// section 7).
func (r *Request) ReplyBound(bound netip.AddrPort) error {
	if err := r.answerOnce(); err != nil {
		return err
	}
	if r.answer.dialect == nil {
		return nil
	}
	return r.answer.write(r.answer.dialect.accepted(bound))
}

// Refuse says why the target is not connected and ends the connection. Who waits
// for a reply gets one, and up to two seconds to read it; who does not is
// aborted, with the code and the text if that can be told (code.Resetter). It
// fails if the request has been answered before or cannot be.
func (r *Request) Refuse(c code.Code, text string) error {
	if err := r.answerOnce(); err != nil {
		return err
	}
	if c == code.OK {
		c = code.General
	}
	if r.answer.dialect == nil {
		splice.Abort(r.answer.conn, c, text)
		return nil
	}
	if err := r.answer.write(r.answer.dialect.refused(c, text)); err != nil {
		splice.Abort(r.answer.conn, c, text)
		return err
	}
	hangUp(r.answer.conn)
	return nil
}

// Early takes the bytes that the application has sent behind its request and
// that are here already, so that they can be written together with it. What
// Early returned, the connection's Read does not; call it before reading.
func (r *Request) Early() []byte {
	if r.app == nil {
		return nil
	}
	return r.app.takeEarly()
}

func (r *Request) answerOnce() error {
	if r.answer == nil {
		return errNobody
	}
	if r.answer.given.Swap(true) {
		return errAnswered
	}
	return nil
}

func (a *answer) write(said []byte) error {
	_ = a.conn.SetWriteDeadline(time.Now().Add(answerMax))
	if _, err := a.conn.Write(said); err != nil {
		return fmt.Errorf("writing a reply: %w", err)
	}
	_ = a.conn.SetWriteDeadline(time.Time{})
	return nil
}

// hangUp ends a connection whose peer has been told why. It waits a little for
// the peer to go first: closing a socket with unread bytes in it is a reset,
// which can overtake what was said.
func hangUp(c net.Conn) {
	defer func() { _ = c.Close() }()
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerMax))
	_, _ = io.CopyN(io.Discard, c, lingerBytes)
}
