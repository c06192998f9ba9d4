package tunnel

import (
	"net"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/events"
	"tunnels/internal/splice"
)

// associate opens the exit's end of an association. It returns a function that carries
// the datagrams, or nil if there are none to carry.
func (s *Server) associate(g *admission.Lease, conn net.Conn, req *eagersocks.Request) (carry func()) {
	r := s.accept(g, "udp:"+req.Target.String())
	s.start(r)
	if err := req.Reply(); err != nil {
		splice.Abort(conn, code.General, "")
		s.events.RequestClosed(r, events.End{Err: err})
		return nil
	}
	crowded := func() { s.events.TargetsForgotten(r) }
	relay := s.exit.Relay(askerOf(g, conn), g, crowded, func(target datagram.Target, err error) {
		if why, ok := code.Of(err); ok && why == code.NotAllowed {
			g.Refused(err)
			return
		}
		s.events.DatagramsFailed(r, target, err)
	})
	r.CountWith(func() (up, down uint64) { n := relay.Counts(); return n.Up, n.Down })
	return func() {
		err := relay.Run(g.Stream(conn.(splice.Stream), s.ctx.Done()))
		datagram.EndSession(conn, err)
		s.events.RequestClosed(r, events.AssociationEnd(err, relay.Counts()))
	}
}
