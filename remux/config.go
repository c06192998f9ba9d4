package remux

import (
	"context"
	"net"
	"time"

	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/frame"
)

// Config says how conns are made, how long they are used and how much they may cost. The
// zero Config works; every field names its default.
type Config struct {
	// Dial makes the lower connection. The default is the Dialer of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen accepts lower connections. The default is the ListenConfig of package net.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// When a conn is replaced. These are soft limits: see Pool.
	ReuseMaxAge   time.Duration // its age; 0 means 60 s
	ReuseMaxCount int           // sessions it has had; 0 means 16
	ReuseMaxBytes int64         // bytes it has carried, both ways; 0 means 64 GiB

	IdleMax   time.Duration // a conn without sessions is closed after; 0 means 10 s
	ConnMax   int           // conns at one time; 0 means 1024
	Ping      time.Duration // silence before a keepalive PING; 0 means 15 s
	WindowMax int           // ceiling of one session's window, in bytes; 0 means 128 MiB
	// SessMax is how many sessions are accepted at one time on one conn; 0 means 32768,
	// less than 0 none. A Pool accepts none in any case.
	SessMax int

	// Budget bounds the memory of all sessions that share it. The default is one of
	// BudgetMax bytes for the pool, listener or conn made from this Config; 0 means 256 MiB.
	Budget    *Budget
	BudgetMax int64

	// Hooks are called when something happens; or nil.
	Hooks *Hooks

	// ConnMaxName is the name of ConnMax in messages, or empty.
	ConnMaxName string
}

// conn returns what a conn needs of c, whose fields have their defaults.
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
