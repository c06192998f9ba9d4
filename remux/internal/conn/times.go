package conn

import "time"

// The times of liveness that cannot be configured.
const (
	answerMax  = 3 * time.Second  // bytes were sent and nothing has come: send a PING
	deathMax   = 5 * time.Second  // without anything after a PING, the conn is dead
	deathSlow  = 20 * time.Second // as deathMax, while bytes of ours still drain slowly
	helloMax   = 2 * time.Second  // on a plain network: no HELLO by then means a basic peer
	lingerMax  = 2 * time.Second  // for the peer to close its end of a conn that ended cleanly
	basicStall = 30 * time.Second // how long a basic peer's conn waits for one application
	basicMax   = 1 << 20          // buffered at most for one session of a basic peer
)
