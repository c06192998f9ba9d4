package trial

import (
	"net"
	"strings"

	"tunnels/internal/netx"
)

// congestion reports the congestion control of the connection to the server, which
// concerns only uploads. It reports nothing if none can be chosen.
func (t *trial) congestion(conn net.Conn) {
	use, ok := t.cfg.Congestion.Apply(conn)
	if !ok {
		return
	}
	t.report(congestionStep(use))
}

// congestionStep returns the step for a client's connection.
func congestionStep(use netx.CongestionUse) Step {
	s := Step{Name: "congestion", Took: use.RTT, Text: use.String()}
	if use.Choice == (netx.Congestion{}) && use.Long() {
		s.Text += "; this is for uploads: downloads depend on the server's kernel, which may need `modprobe tcp_bbr`; run `tunnels check` there"
	}
	return s
}

// usableCongestion returns the step for a server, which has no connection to its clients
// yet. ok is false if it can have no connection with a long round trip.
func usableCongestion(choice netx.Congestion, network, address string) (s Step, ok bool) {
	if !strings.HasPrefix(network, "tcp") || netx.IsLoopback(network, address) {
		return Step{}, false
	}
	use, ok := choice.Usable()
	return Step{Name: "congestion", Text: use.String()}, ok
}
