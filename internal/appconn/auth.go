package appconn

import (
	"net"
	"time"
)

// Authenticator decides who may use a front door. Its method may be called from
// any goroutine at any time.
type Authenticator interface {
	// Check returns nil if password is that of the user name. It may block, to
	// slow down guessing: for about nine seconds at most. The error carries
	// code.NotAuthorised if name and password do not belong together, and
	// another code if they were not compared. remote is the application's
	// address, or nil if unknown. Check is called for every request, also for
	// further ones on one connection, so a name and password that were right
	// before should cost little.
	Check(remote net.Addr, name, password string) error
}

// The defaults of all front doors.
const (
	GreetingTimeout = 10 * time.Second // for an application to finish its greeting and request
	PendingMax      = 4096             // connections whose request is not complete
)

// Remote returns c's peer, or "unknown".
func Remote(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.String() != "" {
		return a.String()
	}
	return "unknown"
}
