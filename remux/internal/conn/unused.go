package conn

import (
	"errors"
	"time"
)

// How long an accepted conn may remain unused.
const (
	silentMax   = 10 * time.Second // without a first frame
	unusedKept  = 2 * time.Hour    // without a session
	goneAwayMax = 5 * time.Second  // without a session, after GOAWAY
)

// errSilent is the reason for closing a conn that has received no frame.
var errSilent = errors.New("it opened a conn and sent nothing")

// unusedLocked reports whether to cut or drain an accepted conn because it is unused. It
// is cut if no first frame has arrived or it stays open after GOAWAY, and drained if it
// has been idle for hours.
func (c *Conn) unusedLocked(now time.Duration) (cut, drain bool) {
	if c.dialer || len(c.table.sessions) != 0 {
		return false, false
	}
	idle := time.Since(c.table.idleFrom)
	switch c.end.state {
	case open:
		return !c.peer.spoke && now >= silentMax, c.peer.spoke && idle >= unusedKept
	case draining:
		return min(idle, now-c.end.drainFrom) >= goneAwayMax, false
	}
	return false, false
}
