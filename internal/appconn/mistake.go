package appconn

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// ErrMistake marks the rejection of a request that can only result from a misconfigured
// application, such as TLS sent to a front door.
var ErrMistake = errors.New("mistake")

// mistake is an error that matches ErrMistake.
type mistake struct{ error }

// Is implements errors.Is for ErrMistake.
func (m mistake) Is(target error) bool { return target == ErrMistake }

// Unwrap returns the underlying error.
func (m mistake) Unwrap() error { return m.error }

// Mistake returns err marked as ErrMistake.
func Mistake(err error) error { return mistake{err} }

// TurnAway sends answer to the application, closes its connection, and returns report as
// an error marked ErrMistake. The same mistake always returns the same error, even if
// the application has already disconnected, so that repeats can be counted.
func TurnAway(c net.Conn, answer, report string) error {
	if _, err := io.WriteString(c, answer); err == nil {
		HangUp(c)
	}
	return Mistake(errors.New(report))
}

// tlsHandshake is the first byte of TLS (RFC 8446 section 5.1).
const tlsHandshake = 0x16

// UnknownGreeting returns the error for a connection whose first byte no door recognizes.
func UnknownGreeting(first byte) error {
	if first == tlsHandshake {
		return Mistake(fmt.Errorf("greeting begins with 0x%02x, want 0x05 or 0x04; it looks like TLS: "+
			"the proxy's address begins with http:// or socks5h://, not with https://", first))
	}
	return fmt.Errorf("greeting begins with 0x%02x, want 0x05 or 0x04", first)
}
