package eagersocks

import (
	"cmp"
	"time"

	"tunnels/internal/door"
)

// Config limits a connection until its request is known. The zero Config works; every
// field documents its default.
type Config struct {
	// GreetingTimeout cuts off an application that has not finished its SOCKS greeting
	// and request; 0 means 10 s.
	GreetingTimeout time.Duration
	// RequestTimeout cuts off a session whose request has not arrived; 0 means 15 s.
	RequestTimeout time.Duration
	// PendingMax limits the number of connections without a complete request. At the
	// limit, a new connection closes the oldest. 0 means 4096.
	PendingMax int
	// Users checks applications' user names and passwords. If nil, no login is required.
	// Listeners from NewListener never require one.
	Users Authenticator
	// Rejected is called for each connection that ended before its request was complete,
	// or whose request was rejected as malformed. If remote is empty, accepting failed
	// and will be retried. Rejected may be called from several goroutines at once and
	// must not close the listener. It may be nil.
	Rejected func(remote string, err error)
}

func (c *Config) requestTimeout() time.Duration {
	return cmp.Or(c.RequestTimeout, 15*time.Second)
}

// limits returns the limits for a listener whose requests may take up to timeout.
func (c *Config) limits(timeout time.Duration) door.Config {
	return door.Config{Timeout: timeout, Max: c.PendingMax, Rejected: c.Rejected}
}
