package eagersocks

import "net"

// Authenticator knows who may use a front door.
type Authenticator interface {
	// Check says why name and password are not right; nil: they are.
	Check(remote net.Addr, name, password string) error
}
