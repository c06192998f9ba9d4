package tunnel

import (
	"errors"
	"net"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/rules"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// remuxLines turns what happens in remux into lines of the log. who says what the
// lines of a conn tell about its peer.
func remuxLines(log *sla.Logger, who func(net.Conn) sla.Fields) *remux.Hooks {
	refused := new(refusedLines)
	return &remux.Hooks{
		ConnOpened: func(id remux.ConnID, lower net.Conn) { log.Opened(sla.Conn, id.String(), who(lower)) },
		ConnClosed: func(id remux.ConnID, lower net.Conn, lasted time.Duration, err error) {
			connClosed(log, refused, id.String(), err, sla.Fields{Client: who(lower).Client, Lasted: lasted})
		},
		ConnBarred: func(id remux.ConnID, err error) {
			log.Warn("conn %s takes no new sessions: %v", id, err)
		},
		SessionOpened: func(id remux.SessionID) { log.Opened(sla.Sess, id.String()) },
		SessionClosed: func(id remux.SessionID, err error) { sessionClosed(log, id.String(), err) },
		DialDone:      (&dialLines{log: log}).done,
	}
}

// clientOf says which client is at the other end, and where.
func clientOf(lower net.Conn) sla.Fields {
	return sla.Fields{Client: peerOf(lower), From: lower.RemoteAddr().String()}
}

// nobody is for the other end: its conns are all with the server it dials.
func nobody(net.Conn) sla.Fields { return sla.Fields{} }

// connClosed logs the end of a conn. That a client is accepted no more is told by
// tls.Hooks.Rejected and is no failure here.
func connClosed(log *sla.Logger, refused *refusedLines, id string, err error, f sla.Fields) {
	if errors.Is(err, tls.ErrDismissed) || isRefused(err) && !refused.first() {
		log.ClosedAs(sla.Conn, id, sla.LevelInfo, err.Error(), f)
		return
	}
	log.Closed(sla.Conn, id, err, f)
}

// sessionClosed: what the target or the application caused is said by the line
// of the sock; here it is no error.
func sessionClosed(log *sla.Logger, id string, err error) {
	if c, ok := code.Of(err); ok && (c <= code.AddressUnsupported || c == code.Cancelled || c == code.TargetReset) {
		log.ClosedAs(sla.Sess, id, sla.LevelDebug, err.Error())
		return
	}
	if isRefused(err) { // which the line of the conn says
		log.ClosedAs(sla.Sess, id, sla.LevelDebug, err.Error())
		return
	}
	if errors.Is(err, tls.ErrDismissed) { // as in connClosed
		log.ClosedAs(sla.Sess, id, sla.LevelInfo, err.Error())
		return
	}
	log.Closed(sla.Sess, id, err)
}

// tlsLines turns what happens in tls into lines of the log.
func tlsLines(log *sla.Logger) *tls.Hooks {
	return &tls.Hooks{
		Rejected: func(remote string, err error) {
			if remote == "" {
				log.Error("accepting clients: %v", err)
				return
			}
			if errors.Is(err, tls.ErrSilent) { // a probe, all day
				log.Debug("client at %s refused: %v", remote, err)
				return
			}
			log.Warn("client at %s refused: %v", remote, err)
		},
		Reloaded: func(what string, err error) {
			if err != nil {
				log.Error("reading %s again: %v; what was read before stays in force", what, err)
				return
			}
			log.Info("read %s again", what)
		},
		Warning: func(text string) { log.Warn("%s", text) },
	}
}

// rejectedLines says at level debug who came without a request: port scanners
// and browsers' spare connections do all day. Wrong passwords, which come slowly,
// are warnings, and so are mistakes, the same one once in a while. mistakes may be
// nil where nobody makes any.
func rejectedLines(log *sla.Logger, mistakes *refusals) func(string, error) {
	return func(remote string, err error) {
		if errors.Is(err, eagersocks.ErrBug) {
			log.Warn("no request from %s: %v", remote, err)
			log.Error("a request could not be read for a defect of ours; the line before says which")
			return
		}
		if errors.Is(err, eagersocks.ErrMistake) && mistakes != nil {
			mistakes.say(hostOf(remote), err)
			return
		}
		if c, _ := code.Of(err); c == code.NotAuthorised {
			log.Warn("no request from %s: %v", remote, err)
			return
		}
		if !log.Enabled(sla.LevelDebug) {
			return
		}
		log.Debug("no request from %s: %v", remote, err)
	}
}

// rulesLines says that the rules file has been read again.
func rulesLines(log *sla.Logger, file string) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("reading rules again: %s; those read before stay in force", rules.OneLine(err))
			return
		}
		log.Info("read rules (%s) again", file)
	}
}

// serverLines says at which server the client is.
func serverLines(log *sla.Logger) upstream.Hooks {
	return upstream.Hooks{
		Silent:  func(address string, why error) { log.Warn("server %s does not answer: %v", address, why) },
		Answers: func(address string) { log.Info("server %s answers again", address) },
		Using: func(now, old upstream.Distance) {
			if old.Address == "" {
				log.Info("using server %s (%s)", now.Address, now.Text)
				return
			}
			log.Info("using server %s (%s) instead of %s (%s)", now.Address, now.Text, old.Address, old.Text)
		},
	}
}

// hostOf is remote without its port, which is another one each time.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// usersLines says that the users file has been read again.
func usersLines(log *sla.Logger) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("reading users again: %v; those read before stay in force", err)
			return
		}
		log.Info("read users again")
	}
}
