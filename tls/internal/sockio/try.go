package sockio

import "net"

// ErrNotNow is returned if nothing can be read now. It is temporary, so crypto/tls keeps
// a partial record and continues with the next Read.
var ErrNotNow net.Error = notNow{}

type notNow struct{}

func (notNow) Error() string   { return "nothing to be read now" }
func (notNow) Timeout() bool   { return false }
func (notNow) Temporary() bool { return true }
