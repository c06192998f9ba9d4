package journal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/events"
	"tunnels/sla"
	"tunnels/tls"
)

// opened writes the opening line of a request.
func (j *Journal) opened(r *events.Request) {
	j.log.Opened(sla.Sock, r.Target, sla.Fields{Client: r.Client})
}

// requestClosed writes the closing line of a request. One that never started has both
// lines here, or none where another line says all: a refusal, or the count of the
// requests for which there is no server.
func (j *Journal) requestClosed(r *events.Request, end events.End) {
	if !r.Started() {
		switch {
		case end.Refused:
			return
		case end.Unreached:
			j.away.say("carried", end.Err)
			return
		}
		j.opened(r)
	}
	if end.Datagrams != nil {
		j.associationClosed(r, end)
		return
	}
	j.closed(r, end)
}

// closed writes the closing line, by whose failure it was.
func (j *Journal) closed(r *events.Request, end events.End) {
	switch {
	case end.Err == nil:
		j.log.Closed(sla.Sock, r.Target, nil, fields(r))
	case end.Refused: // and told
		j.closedAs(r, sla.LevelInfo, code.NotAllowed.String())
	case end.Cancelled:
		j.closedAs(r, sla.LevelInfo, code.Cancelled.String())
	case r.Plain && errors.Is(end.Err, syscall.ECONNRESET):
		j.closedAs(r, sla.LevelInfo, end.Err.Error())
	case level(end.Err) == sla.LevelError:
		j.log.Closed(sla.Sock, r.Target, end.Err, fields(r))
	default:
		j.closedAs(r, level(end.Err), end.Err.Error())
	}
}

func (j *Journal) closedAs(r *events.Request, level sla.Level, reason string) {
	j.log.ClosedAs(sla.Sock, r.Target, level, reason, fields(r))
}

// fields returns those of a closing line.
func fields(r *events.Request) sla.Fields {
	up, down := r.Moved()
	return sla.Fields{Client: r.Client, Counted: true, Up: up, Down: down, Lasted: r.Lasted()}
}

// level returns how much the end of a request matters. What the target or the
// application did is no failure of ours, a refusal by policy is for an operator to look
// at, and the rest is the tunnel's own failure.
func level(err error) sla.Level {
	if errors.Is(err, tls.ErrDismissed) || isRefused(err) { // told by PeerRejected, or by the conn
		return sla.LevelInfo
	}
	why, ok := code.Of(err)
	if !ok {
		return sla.LevelError
	}
	switch why {
	case code.NetUnreachable, code.HostUnreachable, code.Refused, code.Timeout, code.AddressUnsupported,
		code.CommandUnsupported, code.Cancelled, code.TargetReset:
		return sla.LevelInfo
	case code.NotAllowed, code.NotAuthorised, code.Overload:
		return sla.LevelWarn
	}
	return sla.LevelError
}

// datagramsFailed says why datagrams for a target are not sent, though they may be.
func (j *Journal) datagramsFailed(r *events.Request, target datagram.Target, err error) {
	j.log.Info("%s: datagrams to %s are not sent: %v", r.Target, target, err)
}

// targetsForgotten says that an association has had to forget targets.
func (j *Journal) targetsForgotten(r *events.Request) {
	j.log.Warn("%s: too many targets at one time; the ones sent to longest ago are forgotten, with what they answer", r.Target)
}

// associationClosed says how an association ended, and what did not get through.
func (j *Journal) associationClosed(r *events.Request, end events.End) {
	lost := summary(end.Datagrams)
	switch {
	case lost == "":
		j.closed(r, end)
	case end.Err == nil:
		j.closedAs(r, sla.LevelInfo, lost)
	default:
		end.Err = fmt.Errorf("%w; %s", end.Err, lost)
		j.closed(r, end)
	}
}

// summary says what of an association's datagrams did not get through, or "" if all did.
func summary(c *datagram.Counts) string {
	var lost, parts []string
	for _, l := range []struct {
		n    uint64
		what string
	}{{c.Dropped, "dropped"}, {c.Refused, "refused"}, {c.Ignored, "ignored"}} {
		if l.n > 0 {
			lost = append(lost, fmt.Sprintf("%d %s", l.n, l.what))
		}
	}
	if len(lost) > 0 {
		parts = append(parts, "datagrams: "+strings.Join(lost, ", "))
	}
	if c.Forgotten > 0 {
		parts = append(parts, fmt.Sprintf("targets: %d forgotten", c.Forgotten))
	}
	return strings.Join(parts, "; ")
}
