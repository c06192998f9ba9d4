package tunnel

import (
	"errors"
	"net"
	"syscall"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/sla"
	"tunnels/tls"
)

// sock is the line pair of one application's connection to a target.
type sock struct {
	log      *sla.Logger
	name     string
	client   string // at the server; empty: he has no name
	pending  bool   // the opening line is not written yet
	began    time.Time
	up, down int64 // see moved
	plain    bool  // no remux below: a target that failed, and an application that went away, are resets
}

// openSock begins the line pair; client is empty at the client itself.
func openSock(log *sla.Logger, client, name string) sock {
	return sock{log: log, name: name, client: client, began: time.Now(), pending: true}.opened()
}

// openSock begins the line pair of a request, but not while no server can be
// reached: of a request that is not carried then the log has no pair, see unserved.
func (c *Client) openSock(target eagersocks.Address) sock {
	s := sock{log: c.log, name: target.String(), plain: !c.way.mux, began: time.Now(), pending: true}
	if c.servers.Reachable() {
		return s.opened()
	}
	return s
}

// opened returns s with its opening line written.
func (s sock) opened() sock {
	if s.pending {
		s.log.Opened(sla.Sock, s.name, sla.Fields{Client: s.client})
		s.pending = false
	}
	return s
}

// unserved logs that a request could not be carried. While no server can be reached
// all of them are counted on one line.
func (c *Client) unserved(s sock, err error) {
	if _, ok := errors.AsType[unreached](err); s.pending && (ok || isRefused(err)) {
		c.away.say("carried", err)
		return
	}
	s.opened().closed(err, false)
}

// unreached is the error of a request for which there was no server.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// moved returns s with the bytes that went from the application to the target, and
// from it.
func (s sock) moved(up, down int64) sock {
	s.up, s.down = up, down
	return s
}

// fields are those of its closing.
func (s sock) fields() sla.Fields {
	return sla.Fields{Client: s.client, Counted: true, Up: s.up, Down: s.down, Lasted: max(time.Since(s.began), 1)}
}

// endedAs writes the closing line.
func (s sock) endedAs(level sla.Level, reason string) {
	s.log.ClosedAs(sla.Sock, s.name, level, reason, s.fields())
}

// closed says how it ended: err is nil after a clean end; cancelled says that
// the application went away, which is its right.
func (s sock) closed(err error, cancelled bool) {
	switch {
	case err == nil:
		s.log.Closed(sla.Sock, s.name, nil, s.fields())
	case cancelled:
		s.endedAs(sla.LevelInfo, code.Cancelled.String())
	case s.plain && errors.Is(err, syscall.ECONNRESET):
		s.endedAs(sla.LevelInfo, err.Error())
	case endLevel(err) == sla.LevelError:
		s.log.Closed(sla.Sock, s.name, err, s.fields())
	default:
		s.endedAs(endLevel(err), err.Error())
	}
}

// endLevel returns how much the end of a sock matters. What the target or the
// application did is no failure of ours, a refusal by policy is somebody's to look
// at, and the rest is the tunnel's own.
func endLevel(err error) sla.Level {
	if errors.Is(err, tls.ErrDismissed) || isRefused(err) { // told by tls.Hooks.Rejected, or by the conn
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
