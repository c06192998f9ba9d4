package loglines

import (
	"errors"
	"sync"
	"time"

	"tunnels/internal/upstream"
	"tunnels/sla"
	"tunnels/tls"
)

const (
	// triesEvery is the interval between warnings about a server that remains
	// unreachable.
	triesEvery = time.Minute
	// changeEvery replaces triesEvery if the reason has changed.
	changeEvery = 10 * time.Second
)

// serverLines limits the number of lines about one server. The first failure to reach
// it is logged as an error; as long as it remains unreachable, further failures cause
// only an occasional warning.
type serverLines struct {
	mu     sync.Mutex
	down   bool      // guarded by mu
	logged time.Time // guarded by mu; when a failure was last logged
	text   string    // guarded by mu; the reason given in that line
	more   int       // guarded by mu; failed attempts since that line

	refused time.Time // guarded by mu; when a refusal of this client's certificate was last logged as an error
}

// firstRefusal reports whether to log now, as an error, that the server refused this
// client's certificate. The server refuses every conn, and with TLS 1.3 the client
// detects this only after the handshake.
func (s *serverLines) firstRefusal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.refused) < triesEvery {
		return false
	}
	s.refused = now
	return true
}

// isRefused reports whether err means that the peer refused this end's certificate.
func isRefused(err error) bool {
	_, ok := errors.AsType[*tls.CertificateError](err)
	return ok
}

// dialed logs the result of an attempt to reach the server at address.
func (s *serverLines) dialed(log *sla.Logger, address string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if s.down {
			log.Info("server %s can be reached again", address)
		}
		s.down, s.more = false, 0
		return
	}
	now := time.Now()
	text := err.Error() + upstream.Hint(err)
	since := now.Sub(s.logged)
	switch {
	case !s.down:
		log.Error("cannot reach server %s: %s", address, text)
	case since >= triesEvery, since >= changeEvery && text != s.text:
		log.Warn("cannot reach server %s: %s (%d attempts since this was last logged)", address, text, s.more+1)
	default:
		s.more++
		log.Debug("cannot reach server %s: %s", address, text)
		return
	}
	s.down, s.logged, s.text, s.more = true, now, text, 0
}
