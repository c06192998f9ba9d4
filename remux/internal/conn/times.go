package conn

import "time"

// Liveness timeouts that cannot be configured.
const (
	answerMax = 3 * time.Second  // send a PING if bytes sent have gone unanswered for this long
	deathMax  = 5 * time.Second  // a conn is dead if it receives nothing for this long after a PING
	deathSlow = 20 * time.Second // like deathMax, but while our bytes are still draining slowly
	helloMax  = 2 * time.Second  // on a plain network, a peer that sends no HELLO in this time is basic
	lingerMax = 2 * time.Second  // how long the peer may take to close its end of a conn that ended cleanly
)
