package loglines

import (
	"sync"

	"tunnels/internal/netx"
	"tunnels/sla"
)

// congestionLines logs each kind of congestion control that is in use, once.
type congestionLines struct {
	mu   sync.Mutex
	said map[string]bool // guarded by mu; the descriptions that were logged
}

// chosen logs the congestion control of a connection. On short paths the system's is
// used, which is not worth a line.
func (c *congestionLines) chosen(log *sla.Logger, use netx.CongestionUse) {
	if !use.Choice.Named() && !use.Long() {
		return
	}
	text := use.String()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[text] {
		return
	}
	if c.said == nil {
		c.said = make(map[string]bool)
	}
	c.said[text] = true
	log.Info("congestion control between client and server: %s", text)
}
