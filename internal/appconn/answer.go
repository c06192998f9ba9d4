package appconn

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

// ErrAnswered is returned by an Answer's Reply, Refuse and Claim if the request has
// already been answered or claimed.
var ErrAnswered = errors.New("request has been answered already")

// AnswerTimeout is the time limit for writing a reply.
const AnswerTimeout = 10 * time.Second

const (
	lingerMax   = 2 * time.Second // how long to wait for a refused peer to close first
	lingerBytes = 256 << 10       // maximum number of bytes read from it in that time
)

// Dialect encodes the replies of one protocol.
type Dialect interface {
	// Accepted returns the reply sent when the target is connected. bound is the address
	// that accepts datagrams; it is invalid for a stream.
	Accepted(bound netip.AddrPort) []byte
	// Refused returns the reply sent when connecting to the target fails; c and text
	// give the reason.
	Refused(c code.Code, text string) []byte
}

// Answer sends the single answer to a request.
type Answer struct {
	// Immutable after creation.
	conn    net.Conn
	dialect Dialect // nil if the peer expects no reply

	given atomic.Bool
}

// NewAnswer returns an Answer for a request received on c. dialect is nil if no reply is
// wanted.
func NewAnswer(c net.Conn, dialect Dialect) *Answer {
	return &Answer{conn: c, dialect: dialect}
}

// Reply reports to the peer that the target is connected and, if bound is valid, the
// address that accepts datagrams. It does nothing if no reply is wanted.
func (a *Answer) Reply(bound netip.AddrPort) error {
	if err := a.Claim(); err != nil {
		return err
	}
	if a.dialect == nil {
		return nil
	}
	return a.write(a.dialect.Accepted(bound))
}

// Refuse reports to the peer why the target is not connected, then closes the
// connection. A peer waiting for a reply is sent one and has up to two seconds to read
// it. Any other connection is reset, with the code and text if it can carry them
// (code.Resetter).
func (a *Answer) Refuse(c code.Code, text string) error {
	if err := a.Claim(); err != nil {
		return err
	}
	if c == code.OK {
		c = code.General
	}
	if a.dialect == nil {
		splice.Abort(a.conn, c, text)
		return nil
	}
	if err := a.write(a.dialect.Refused(c, text)); err != nil {
		splice.Abort(a.conn, c, text)
		return err
	}
	HangUp(a.conn)
	return nil
}

// Early returns the unread bytes that followed the request, if known. See
// Conn.TakeEarly.
func (a *Answer) Early() []byte {
	if c, ok := a.conn.(*Conn); ok {
		return c.TakeEarly()
	}
	return nil
}

// Claim makes the caller responsible for answering. It returns ErrAnswered if the
// request has already been answered or claimed.
func (a *Answer) Claim() error {
	if a.given.Swap(true) {
		return ErrAnswered
	}
	return nil
}

func (a *Answer) write(b []byte) error {
	_ = a.conn.SetWriteDeadline(time.Now().Add(AnswerTimeout))
	if _, err := a.conn.Write(b); err != nil {
		return fmt.Errorf("writing a reply: %w", err)
	}
	_ = a.conn.SetWriteDeadline(time.Time{})
	return nil
}

// HangUp closes a connection after the reason has been sent. It waits briefly for the
// peer to close first, because closing a socket with unread bytes sends a reset, which
// can overtake the reply.
func HangUp(c net.Conn) {
	defer func() { _ = c.Close() }()
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerMax))
	_, _ = io.CopyN(io.Discard, c, lingerBytes)
}
