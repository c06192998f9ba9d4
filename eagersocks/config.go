package eagersocks

import (
	"cmp"
	"time"

	"tunnels/internal/door"
)

// Config bounds what a connection may do before its request is known. The zero
// Config works; every field names its default.
type Config struct {
	// GreetingTimeout cuts an application that has not finished its SOCKS
	// greeting and request; 0 means 10 s.
	GreetingTimeout time.Duration
	// RequestTimeout cuts a session whose request has not come; 0 means 15 s.
	RequestTimeout time.Duration
	// PendingMax limits the connections in that state at one time; one more ends
	// the oldest. 0 means 4096.
	PendingMax int
	// Users decides who may use a front door. If it is nil, anyone may and no
	// password is asked for. Listeners of NewListener ask for none either way.
	Users Authenticator
	// Rejected is called with each connection that ended before its request was
	// complete or whose request was refused as malformed. With an empty remote
	// it reports that accepting failed, which is retried. It may be called from
	// many goroutines at a time and must not close the listener. It may be nil.
	Rejected func(remote string, err error)
}

func (c *Config) requestTimeout() time.Duration {
	return cmp.Or(c.RequestTimeout, 15*time.Second)
}

// limits returns the limits of a listener on which a request may take that long.
func (c *Config) limits(timeout time.Duration) door.Config {
	return door.Config{Timeout: timeout, Max: c.PendingMax, Rejected: c.Rejected}
}
