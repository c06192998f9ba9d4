package tunnel

import (
	"errors"
	"sync"
	"time"

	"tunnels/sla"
	"tunnels/tls"
)

const (
	// triesEvery is how often it is said that a server still cannot be reached.
	triesEvery = time.Minute
	// changeEvery is how often it is said if the reason is another one now.
	changeEvery = 10 * time.Second
)

// dialLines logs how the dials of one server go: that it cannot be reached is an
// error once; the tries that follow, for as long as they fail, are a warning once in
// a while.
type dialLines struct {
	log *sla.Logger // static

	mu   sync.Mutex
	down bool      // guarded by mu
	said time.Time // guarded by mu; when its last line was written
	text string    // guarded by mu; that line
	more int       // guarded by mu; tries since then
}

// refusedLines says once in a while that a server refuses this client's certificate,
// which it does on every conn: with TLS 1.3 that is known after the handshake only.
type refusedLines struct {
	mu   sync.Mutex
	said time.Time // guarded by mu; when that was logged at erro
}

// first reports whether it is to be logged at erro now.
func (r *refusedLines) first() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.said) < triesEvery {
		return false
	}
	r.said = now
	return true
}

// isRefused reports whether the other end has refused a certificate.
func isRefused(err error) bool {
	_, ok := errors.AsType[*tls.CertificateError](err)
	return ok
}

// done is remux.Hooks.DialDone.
func (d *dialLines) done(address string, _ time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		if d.down {
			d.log.Info("server %s can be reached again", address)
		}
		d.down, d.more = false, 0
		return
	}
	now := time.Now()
	text := err.Error() + dialHint(err)
	since := now.Sub(d.said)
	switch {
	case !d.down:
		d.log.Error("cannot reach server %s: %s", address, text)
	case since >= triesEvery, since >= changeEvery && text != d.text:
		d.log.Warn("cannot reach server %s: %s (%d tries since the last such line)", address, text, d.more+1)
	default:
		d.more++
		d.log.Debug("cannot reach server %s: %s", address, text)
		return
	}
	d.down, d.said, d.text, d.more = true, now, text, 0
}
