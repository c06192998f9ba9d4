package tunnel

import (
	"context"
	"net"
	"net/netip"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/splice"
)

// associate makes the exit's end of an association, and returns what carries the
// datagrams; nil: there are none to carry.
func (s *Server) associate(g *guest, conn net.Conn, req *eagersocks.Request) (carry func()) {
	line := openAssociation(s.log, g.name, req.Target.String())
	if err := req.Reply(); err != nil {
		splice.Abort(conn, code.General, "")
		line.closed(err, false)
		return nil
	}
	relay := datagram.NewRelay(datagram.Exit{
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return s.exit.resolve(ctx, g.asker(conn), host)
		},
		AllowName: g.AllowName,
		AllowAddr: g.AllowAddr,
		Timeout:   s.exit.timeout,
		Crowded:   line.crowded,
		Room:      &s.exit.datagrams,
		Refused: func(target datagram.Target, err error) {
			if why, ok := code.Of(err); ok && why == code.NotAllowed {
				g.refused(err)
				return
			}
			line.failed(target, err)
		},
	})
	return func() {
		err := relay.Run(g.stream(conn.(splice.Stream), s.ctx.Done()))
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
