package loglines

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

// opened writes a request's opening line.
func (w *Writer) opened(r *events.Request) {
	w.log.Opened(sla.Sock, r.Target, sla.Fields{Client: r.Client})
}

// requestClosed writes a request's closing line. If the request never started, it
// writes the opening line first, or neither if another line covers the request: a
// refusal, or the count of requests made while no server could be reached.
func (w *Writer) requestClosed(r *events.Request, end events.End) {
	if !r.Started() {
		switch {
		case end.Refused:
			return
		case end.Unreached:
			w.away.add("fail", end.Err)
			return
		}
		w.opened(r)
	}
	if end.Datagrams != nil {
		w.associationClosed(r, end)
		return
	}
	w.closed(r, end)
}

// closed writes the closing line, at a level that depends on how the request ended.
func (w *Writer) closed(r *events.Request, end events.End) {
	switch {
	case end.Err == nil:
		w.log.Closed(sla.Sock, r.Target, nil, fields(r))
	case end.Refused: // already logged
		w.closedAs(r, sla.LevelInfo, code.NotAllowed.String())
	case end.Cancelled:
		w.closedAs(r, sla.LevelInfo, code.Cancelled.String())
	case r.Plain && end.Datagrams == nil && errors.Is(end.Err, syscall.ECONNRESET):
		w.closedAs(r, sla.LevelInfo, end.Err.Error())
	case level(end.Err) == sla.LevelError:
		w.log.Closed(sla.Sock, r.Target, end.Err, fields(r))
	default:
		w.closedAs(r, level(end.Err), end.Err.Error())
	}
}

// closedAs writes the closing line with the given level and reason.
func (w *Writer) closedAs(r *events.Request, level sla.Level, reason string) {
	w.log.ClosedAs(sla.Sock, r.Target, level, reason, fields(r))
}

// fields returns the fields for a closing line.
func fields(r *events.Request) sla.Fields {
	up, down := r.Moved()
	return sla.Fields{Client: r.Client, Counted: true, Up: up, Down: down, Lasted: r.Lasted()}
}

// level returns the log level for a closing line: info if the target or application
// caused the end, warn for a refusal by policy, which may interest an operator, and
// error for a failure of the tunnel itself.
func level(err error) sla.Level {
	if errors.Is(err, tls.ErrDismissed) || isRefused(err) { // logged by peerRejected or connClosed
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

// datagramsFailed logs why datagrams cannot be sent to an allowed target.
func (w *Writer) datagramsFailed(r *events.Request, target datagram.Target, err error) {
	w.log.Info("%s: cannot send datagrams to %s: %v", r.Target, target, err)
}

// targetsForgotten logs that an association had to evict targets.
func (w *Writer) targetsForgotten(r *events.Request) {
	w.log.Warn("%s: too many targets at once; the least recently used are dropped, and replies from them ignored", r.Target)
}

// associationClosed logs that an association was closed and which datagrams it lost.
func (w *Writer) associationClosed(r *events.Request, end events.End) {
	lost := summary(end.Datagrams)
	switch {
	case lost == "":
		w.closed(r, end)
	case end.Err == nil:
		w.closedAs(r, sla.LevelInfo, lost)
	default:
		end.Err = fmt.Errorf("%w; %s", end.Err, lost)
		w.closed(r, end)
	}
}

// summary describes the datagrams and targets an association lost, or returns "" if it
// lost none.
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
		parts = append(parts, fmt.Sprintf("targets: %d evicted", c.Forgotten))
	}
	return strings.Join(parts, "; ")
}
