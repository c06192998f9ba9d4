package tunnel

import (
	"errors"
	"net"
	"syscall"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/sla"
	"tunnels/tls"
)

// sock is the line pair of one application's connection to a target.
type sock struct {
	log   *sla.Logger
	name  string
	plain bool // no remux below: all that the exit can do about a target that failed is to reset
}

func openSock(log *sla.Logger, target eagersocks.Address) sock {
	s := sock{log: log, name: target.String()}
	log.Opened(sla.Sock, s.name)
	return s
}

func (c *Client) openSock(target eagersocks.Address) sock {
	s := openSock(c.log, target)
	s.plain = !c.way.mux
	return s
}

// closed says how it ended: err is nil after a clean end; cancelled says that
// the application went away, which is its right.
func (s sock) closed(err error, cancelled bool) {
	switch {
	case err == nil:
		s.log.Closed(sla.Sock, s.name, nil)
	case cancelled:
		s.log.ClosedAs(sla.Sock, s.name, sla.LevelInfo, code.Cancelled.String())
	case s.plain && errors.Is(err, syscall.ECONNRESET):
		s.log.ClosedAs(sla.Sock, s.name, sla.LevelInfo, err.Error())
	case endLevel(err) == sla.LevelError:
		s.log.Closed(sla.Sock, s.name, err)
	default:
		s.log.ClosedAs(sla.Sock, s.name, endLevel(err), err.Error())
	}
}

// endLevel returns how much the end of a sock matters. What the target or the
// application did is no failure of ours, a refusal by policy is somebody's to look
// at, and the rest is the tunnel's own.
func endLevel(err error) sla.Level {
	if errors.Is(err, tls.ErrDismissed) { // told by tls.Hooks.Rejected
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

// targetError gives an error of the connection to the target, as the system
// reports it, the code that says whose it is.
func targetError(err error) error {
	_, coded := code.Of(err)
	if err == nil || coded || errors.Is(err, net.ErrClosed) {
		return err
	}
	return &code.Error{Code: code.TargetReset, Text: err.Error()}
}
