// Package http1 reads HTTP/1 messages as a proxy has to: heads line by line, keeping
// their bytes, and bodies by their framing (RFC 9112). Responses are read tolerantly,
// requests strictly; each type documents the difference.
package http1

import "errors"

// Error reports that a message is malformed, and why.
type Error struct{ Text string }

// Error implements error.
func (e *Error) Error() string { return e.Text }

func malformed(text string) error { return &Error{text} }

// IsMalformed reports whether err is about the message, rather than the connection it
// was read from.
func IsMalformed(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}
