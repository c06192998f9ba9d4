package journal

import (
	"errors"
	"sync"
	"time"

	"tunnels/internal/upstream"
	"tunnels/sla"
	"tunnels/tls"
)

const (
	// triesEvery is how often it is said that a server still cannot be reached.
	triesEvery = time.Minute
	// changeEvery is how often it is said if the reason is another one now.
	changeEvery = 10 * time.Second
)

// serverLines is what has been said of one server. That it cannot be reached is an
// error once; the tries that follow, for as long as they fail, are a warning once in a
// while.
type serverLines struct {
	mu   sync.Mutex
	down bool      // guarded by mu
	said time.Time // guarded by mu; when the last line about that was written
	text string    // guarded by mu; that line
	more int       // guarded by mu; tries since then

	refused time.Time // guarded by mu; when it was last logged as an error that it refuses our certificate
}

// firstRefusal reports whether it is to be logged now as an error that the server
// refuses this client's certificate. It does so on every conn, and with TLS 1.3 that is
// known after the handshake only.
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

// isRefused reports whether the other end has refused a certificate.
func isRefused(err error) bool {
	_, ok := errors.AsType[*tls.CertificateError](err)
	return ok
}

// dialed logs how an attempt to reach the server at address went.
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
	since := now.Sub(s.said)
	switch {
	case !s.down:
		log.Error("cannot reach server %s: %s", address, text)
	case since >= triesEvery, since >= changeEvery && text != s.text:
		log.Warn("cannot reach server %s: %s (%d tries since the last such line)", address, text, s.more+1)
	default:
		s.more++
		log.Debug("cannot reach server %s: %s", address, text)
		return
	}
	s.down, s.said, s.text, s.more = true, now, text, 0
}
