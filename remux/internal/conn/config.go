package conn

import (
	"time"

	"tunnels/remux/internal/flow"
)

// Config is the configuration of a conn. All fields except Hooks must be set.
type Config struct {
	Ping      time.Duration // silence before a keepalive PING
	WindowMax int           // ceiling of one session's window, in bytes
	SessMax   int           // sessions accepted at a time; less than 1 means none
	Budget    *flow.Budget  // bounds the memory of all sessions that share it
	Hooks     *Hooks        // or nil
}
