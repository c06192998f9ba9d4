package datagram

import (
	"net"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// EndSession ends the session of an association: cleanly if err is nil, otherwise with
// err's code and text.
func EndSession(session net.Conn, err error) {
	if err == nil {
		_ = session.Close() // already ended, so nothing is lost
		return
	}
	why, ok := code.Of(err)
	if !ok {
		why = code.General
	}
	splice.Abort(session, why, err.Error())
}
