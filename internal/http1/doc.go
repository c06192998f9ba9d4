// Package http1 reads HTTP/1 messages as a proxy has to: heads line by line, with
// their bytes, and bodies by their framing (RFC 9112). Answers are read tolerantly,
// requests strictly; what differs is said at each type.
package http1

import "errors"

// Error says that a message is malformed, and why.
type Error struct{ Text string }

// Error implements error.
func (e *Error) Error() string { return e.Text }

func malformed(text string) error { return &Error{text} }

// IsMalformed reports whether err is about the message, and not about the connection
// that it came by.
func IsMalformed(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}
