package tunnel

import (
	"net"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/splice"
)

// associate makes the exit's end of an association, and returns what carries the
// datagrams; nil: there are none to carry.
func (s *Server) associate(g *admission.Guest, conn net.Conn, req *eagersocks.Request) (carry func()) {
	line := openAssociation(s.log, g.Name(), req.Target.String())
	if err := req.Reply(); err != nil {
		splice.Abort(conn, code.General, "")
		line.closed(err, false)
		return nil
	}
	relay := s.exit.Relay(askerOf(g, conn), g, line.crowded, func(target datagram.Target, err error) {
		if why, ok := code.Of(err); ok && why == code.NotAllowed {
			g.Refused(err)
			return
		}
		line.failed(target, err)
	})
	return func() {
		err := relay.Run(g.Stream(conn.(splice.Stream), s.ctx.Done()))
		endSession(conn, err)
		line.ended(err, relay.Counts())
	}
}

// endSession ends the session of an association in the way err says.
func endSession(session net.Conn, err error) {
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
