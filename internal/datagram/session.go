package datagram

import (
	"net"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// EndSession ends the session of an association: cleanly if err is nil, or else with its
// code and text.
func EndSession(session net.Conn, err error) {
	if err == nil {
		_ = session.Close() // it has ended: nothing is lost
		return
	}
	why, ok := code.Of(err)
	if !ok {
		why = code.General
	}
	splice.Abort(session, why, err.Error())
}
