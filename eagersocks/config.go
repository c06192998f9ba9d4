package eagersocks

import (
	"cmp"
	"time"

	"tunnels/internal/appconn"
	"tunnels/internal/door"
)

// Config bounds what a connection may do before its request is known. The zero
// Config works; every field names its default.
type Config struct {
	// GreetingTimeout cuts an application that has not finished its SOCKS
	// greeting and request; 0: 10 s.
	GreetingTimeout time.Duration
	// RequestTimeout cuts a session whose request has not come; 0: 15 s.
	RequestTimeout time.Duration
	// PendingMax is how many connections may be in that state at one time; one
	// more ends the oldest of them. 0: 4096. As many again may have been answered
	// over HTTP without having given the password that Users wants.
	PendingMax int
	// Users knows who may use a front door. Nil: everybody may, and is not
	// asked. The pages of the port itself need no password, and listeners that
	// are no front doors ask nobody.
	Users Authenticator
	// PACDirect and PACProxy are for the PAC file: what goes direct, and what goes
	// through. If PACProxy is empty, everything does but PACDirect and this machine
	// itself; if not, nothing else.
	PACDirect, PACProxy PACList
	// Rejected is told of every connection that ended before its request was
	// complete or whose request was refused as malformed. With an empty remote
	// it is told that accepting itself failed, which is tried again. It may be
	// called from many goroutines at a time and must not close the listener.
	// Nil: nobody is.
	Rejected func(remote string, err error)
}

func (c *Config) greetingTimeout() time.Duration {
	return cmp.Or(c.GreetingTimeout, appconn.GreetingTimeout)
}

func (c *Config) requestTimeout() time.Duration {
	return cmp.Or(c.RequestTimeout, 15*time.Second)
}

func (c *Config) pendingMax() int { return max(1, cmp.Or(c.PendingMax, appconn.PendingMax)) }

// limits returns the limits of a listener on which a request may take that long.
func (c *Config) limits(timeout time.Duration) door.Config {
	return door.Config{Timeout: timeout, Max: c.PendingMax, Rejected: c.Rejected}
}
