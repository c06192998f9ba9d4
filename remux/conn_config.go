package remux

import (
	"time"

	"tunnels/remux/internal/flow"
)

// connConfig is what a conn needs to know. All fields but Hooks are set.
type connConfig struct {
	Ping      time.Duration // silence before a keepalive PING
	WindowMax int           // ceiling of one session's window, in bytes
	SessMax   int           // sessions accepted at one time; less than 1 means none
	Budget    *flow.Budget  // bounds the memory of all sessions that share it
	Hooks     *connHooks    // or nil
}
