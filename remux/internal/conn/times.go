package conn

import "time"

// Timeouts that cannot be configured.
const (
	helloMax  = 2 * time.Second // on a plain network, a peer that sends no HELLO in this time is basic
	lingerMax = 2 * time.Second // how long the peer may take to close its end of a conn that ended cleanly
)
