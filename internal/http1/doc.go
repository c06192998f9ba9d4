// Package http1 reads HTTP/1 messages for a proxy: heads line by line, preserving their
// bytes, and bodies according to their framing (RFC 9112). It is lenient with responses
// and strict with requests; each type documents the difference.
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
