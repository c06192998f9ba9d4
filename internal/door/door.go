// Package door listens for requests. It accepts connections, picks a door for each by
// its first byte, limits how many may be pending and for how long, and hands over the
// stream with the request. The doors define the requests.
package door

import (
	"fmt"
	"io"
	"net"

	"tunnels/internal/appconn"
)

// firstRead is large enough for most applications' first message; the door reads the
// rest of a longer one.
const firstRead = 512

// Door reads the requests of one protocol. Its methods may be called from any goroutine
// at any time.
type Door[R any] interface {
	// Takes reports whether the door serves connections that begin with first.
	Takes(first byte) bool
	// Read reads c's request. first holds the bytes already read, at least one; the door
	// may retain it and append to it. c has a deadline. Read returns the request and the
	// stream to hand over, which may wrap c. If it fails, it has already sent the
	// application the reason, if the protocol allows that; the caller closes c.
	Read(c net.Conn, first []byte) (stream net.Conn, req R, err error)
}

// Reader reads one request from a connection that has a deadline. If it fails, it has
// already sent the peer the reason, if the protocol allows that; the caller closes the
// connection.
type Reader[R any] func(net.Conn) (stream net.Conn, req R, err error)

// FirstByte returns a Reader that passes each connection to the first door that accepts
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
