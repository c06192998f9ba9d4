package remux

import (
	"context"
	"net"
	"time"
)

// Config says how conns are made, how long they are used and what they may
// cost. The zero Config works; every field names its default.
type Config struct {
	// Dial makes the lower connection. Nil: package net's Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen accepts lower connections. Nil: package net's ListenConfig.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// When a conn is replaced. These are soft limits: see Pool.
	ReuseMaxAge   time.Duration // its age; 0: 60 s
	ReuseMaxCount int           // sessions it has had; 0: 16
	ReuseMaxBytes int64         // bytes it has carried, both ways; 0: 64 GiB

	IdleMax   time.Duration // a conn without sessions is closed after; 0: 10 s
	ConnMax   int           // never more conns than that; 0: 1024
	Ping      time.Duration // a conn silent for that long is asked for a sign of life; 0: 15 s
	WindowMax int           // ceiling of one session's window, in bytes; 0: 128 MiB
	SessMax   int           // sessions accepted at one time on one conn; 0: 32768

	// Budget bounds the memory of all sessions that share it. Nil: one of
	// 256 MiB for the pool or listener made from this Config.
	Budget *Budget

	// Hooks are told what happens. Nil: nobody is.
	Hooks *Hooks
}

// firstWindow is what a session's window is raised to as soon as it has been
// opened, if the budget allows.
const firstWindow = 256 << 10

// The times of liveness that are not for configuration.
const (
	answerMax  = 3 * time.Second  // something was sent and nothing came: ask
	deathMax   = 5 * time.Second  // asked, and still nothing: the conn is dead
	deathSlow  = 20 * time.Second // the same while bytes of ours still drain slowly
	helloMax   = 2 * time.Second  // on a plain network: no HELLO by then means a basic peer
	lingerMax  = 2 * time.Second  // for the peer to close its end of a conn that ended cleanly
	basicStall = 30 * time.Second // a basic peer's conn waits that long for one application
	basicMax   = 1 << 20          // what is buffered for one session of a basic peer
)

// defaults is c with its zero fields filled in.
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
	c.WindowMax = max(c.WindowMax, floor)
	if c.SessMax <= 0 {
		c.SessMax = 1 << 15
	}
	if c.Budget == nil {
		c.Budget = NewBudget(DefaultBudget)
	}
	return c
}
