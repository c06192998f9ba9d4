package sockio

import "net"

// ErrNotNow is returned if no data is available yet. It is temporary, so crypto/tls
// retains a partial record and continues with the next Read.
var ErrNotNow net.Error = notNow{}

type notNow struct{}

func (notNow) Error() string   { return "no data available yet" }
func (notNow) Timeout() bool   { return false }
func (notNow) Temporary() bool { return true }
