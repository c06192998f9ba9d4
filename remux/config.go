package remux

import (
	"context"
	"net"
	"time"

	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/frame"
)

// Config configures how conns are opened, how long they are used and how much memory they
// may use. The zero Config works; every field documents its default.
type Config struct {
	// Dial opens the lower connection. The default is net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen opens the listener for lower connections. The default is net.ListenConfig's
	// Listen.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// A conn that reaches one of these limits is replaced. The limits are soft: see Pool.
	ReuseMaxAge   time.Duration // since it was opened; 0 means 60 s, or up to 120 s while it has sessions
	ReuseMaxCount int           // sessions opened on it; 0 means 16, or up to 128 while it has sessions
	ReuseMaxBytes int64         // bytes it has carried in both directions; 0 means 64 GiB

	IdleMax   time.Duration // how long a conn without sessions stays open; 0 means 10 s
	ConnMax   int           // maximum number of conns; 0 means 1024
	Ping      time.Duration // silence before a keepalive PING; 0 means 15 s
	WindowMax int           // ceiling of one session's window, in bytes; 0 means 128 MiB
	// SessMax limits the sessions that the peer may have open on one conn; 0 means 32768,
	// and a negative number means none. A Pool never accepts sessions.
	SessMax int

	// Budget bounds the memory of all sessions that share it. By default, each pool,
	// listener or conn made from this Config has its own budget of BudgetMax bytes, where
	// 0 means 256 MiB.
	Budget    *Budget
	BudgetMax int64

	// Hooks report events. It may be nil.
	Hooks *Hooks

	// ConnMaxName is what messages call ConnMax; the default is "the limit".
	ConnMaxName string
}

// conn returns the part of c that conns need. The defaults must have been filled in.
func (c *Config) conn() *conn.Config {
	return &conn.Config{
		Ping: c.Ping, WindowMax: c.WindowMax, SessMax: c.SessMax,
		Budget: &c.Budget.shared, Hooks: c.Hooks.conn(),
	}
}

// defaults returns c with its zero fields filled in.
func (c Config) defaults() Config {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Listen == nil {
		c.Listen = (&net.ListenConfig{}).Listen
	}
	if c.ReuseMaxAge <= 0 {
		c.ReuseMaxAge = time.Minute
	}
	if c.ReuseMaxCount <= 0 {
		c.ReuseMaxCount = 16
	}
	if c.ReuseMaxBytes <= 0 {
		c.ReuseMaxBytes = 64 << 30
	}
	if c.IdleMax <= 0 {
		c.IdleMax = 10 * time.Second
	}
	if c.ConnMax <= 0 {
		c.ConnMax = 1024
	}
	if c.Ping <= 0 {
		c.Ping = 15 * time.Second
	}
	if c.WindowMax <= 0 {
		c.WindowMax = 128 << 20
	}
	c.WindowMax = max(c.WindowMax, frame.Floor)
	if c.SessMax == 0 {
		c.SessMax = 1 << 15
	}
	if c.BudgetMax == 0 {
		c.BudgetMax = defaultBudget
	}
	if c.Budget == nil {
		c.Budget = NewBudget(c.BudgetMax)
	}
	return c
}
