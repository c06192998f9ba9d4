// Package door listens for requests. It accepts connections, has each one read by the
// door that its first byte belongs to, within limits of time and number, and hands
// over the stream with the request. What a request is, the doors decide.
package door

import (
	"fmt"
	"io"
	"net"

	"tunnels/internal/appconn"
)

// firstRead is enough for what an application says in one go before it is
// answered; the rest of a longer greeting is read by its door.
const firstRead = 512

// Door reads the requests of one protocol. Its methods may be called from any
// goroutine at any time.
type Door[R any] interface {
	// Takes reports whether the door serves connections that begin with first.
	Takes(first byte) bool
	// Read reads the request of c, of which first, at least one byte, has been
	// read already; first is the door's to keep and to append to. A deadline is
	// set on c. Read returns the stream to hand over, which may wrap c, and the
	// request. If it fails it has told the application why, where the protocol
	// can; the caller closes c.
	Read(c net.Conn, first []byte) (stream net.Conn, req R, err error)
}

// Reader reads one request from a connection whose deadline is set. If it fails it has
// told the peer why, where the protocol can; the caller closes the connection.
type Reader[R any] func(net.Conn) (stream net.Conn, req R, err error)

// FirstByte returns a Reader that leaves each connection to the first door that takes
// its first byte.
func FirstByte[R any](doors ...Door[R]) Reader[R] {
	return func(c net.Conn) (stream net.Conn, req R, err error) {
		buf := make([]byte, firstRead)
		n, err := io.ReadAtLeast(c, buf, 1)
		if err != nil {
			return nil, req, fmt.Errorf("reading a greeting: %w", err)
		}
		for _, d := range doors {
			if d.Takes(buf[0]) {
				return d.Read(c, buf[:n])
			}
		}
		return nil, req, appconn.UnknownGreeting(buf[0])
	}
}
