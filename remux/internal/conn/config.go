package conn

import (
	"time"

	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/kin"
)

// Config is the configuration of a conn. All fields except Hooks must be set.
type Config struct {
	Ping      time.Duration // silence before a keepalive PING
	WindowMax int           // ceiling of one session's window, in bytes
	SessMax   int           // sessions accepted at a time; less than 1 means none
	Budget    *flow.Budget  // bounds the memory of all sessions that share it
	Hooks     *Hooks        // or nil

	// Sessions may move between conns that this end dials with the same Instance, and
	// between those that it accepts with the same Kin. By default they may not.
	Instance frame.Instance
	Kin      *kin.Registry[*Conn]
}

// features returns the feature bits of HELLO.
func (c *Config) features(dialer bool) uint32 {
	if dialer && c.Instance != (frame.Instance{}) || !dialer && c.Kin != nil {
		return frame.FeatureMoves
	}
	return 0
}
