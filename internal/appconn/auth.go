package appconn

import (
	"net"
	"time"
)

// Authenticator decides who may use a front door. Its method may be called from any
// goroutine at any time.
type Authenticator interface {
	// Check returns nil if password is name's password. To slow down guessing, it may
	// block for up to about nine seconds. The error carries code.NotAuthorised if name
	// and password do not match, and another code if they could not be checked. remote
	// is the application's address, or nil if unknown. Check is called for every
	// request, including later ones on the same connection, so checking credentials that
	// were valid before should be cheap.
	Check(remote net.Addr, name, password string) error
}

// Defaults for all front doors.
const (
	GreetingTimeout = 10 * time.Second // for an application to complete its greeting and request
	PendingMax      = 4096             // connections whose request is incomplete
)

// Remote returns the address of c's peer, or "unknown".
func Remote(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.String() != "" {
		return a.String()
	}
	return "unknown"
}
