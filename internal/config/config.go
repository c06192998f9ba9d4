// Package config turns the command line, the environment and a file into what
// the rooms of the product are made from.
//
// Every option has one name, in three spellings:
//
//	-server.addr :443              on the command line
//	TUNNELS_SERVER_ADDR=:443       in the environment
//	server.addr = :443             in the file that -config names
//
// The command line beats the environment, which beats the file. An empty
// environment variable counts as not set. In the file a line that begins with #
// is a comment, as is what follows a # behind a blank; a value may stand in
// double quotes, with Go's escapes, or in single quotes, as it is.
//
// [Parse] checks everything that can be known without opening a socket, so that
// a process which starts does not find out later that it was told nonsense.
package config

import (
	"tunnels/sla"
	"tunnels/tunnel"
)

// Config is what a process was told to be.
type Config struct {
	Server bool // be the exit
	Client bool // be the proxy

	Tunnel tunnel.Config
	SLA    sla.Config

	// RemuxMemoryMaxMB is the budget of all sessions' memory, in MiB, from
	// which the caller makes Tunnel.Remux.Budget.
	RemuxMemoryMaxMB int
	// ClientOpen: applications may reach the client from other machines.
	ClientOpen bool
	// File is the configuration file that was read; empty: none.
	File string
	// Warnings are what its user should hear though it is no error.
	Warnings []string

	given map[string]given // by option name; what nobody gave is not in it

	clientAddrs []string // of -client.addr, from which Tunnel.ClientAddrs follow
	clientNet   string   // network of those that do not name one
}

// given is a value that somebody gave, and where.
type given struct {
	value, origin string
}

// The origins that are not a place in a file.
const (
	commandLine = "command line"
	byDefault   = "default"
)

// Given reports whether the option of that name ("server.addr") was given, rather
// than left at its default.
func (c *Config) Given(name string) bool {
	_, ok := c.given[name]
	return ok
}

// CertsGiven reports whether any certificate, key or CA was given. With both
// roles in one process and none given, throw-away ones will do.
func (c *Config) CertsGiven() bool {
	s, l := c.Tunnel.ServerTLS, c.Tunnel.ClientTLS
	return s.Cert+s.Key+s.CA+l.Cert+l.Key+l.CA != ""
}

// Carrier is the network on which client and server meet: "tls", or a plain
// stream network.
func (c *Config) Carrier() string {
	if c.Tunnel.EagerNet != "remux" {
		return c.Tunnel.EagerNet
	}
	return c.Tunnel.RemuxNet
}

// origin is where the value of an option came from.
func (c *Config) origin(name string) string {
	if g, ok := c.given[name]; ok {
		return g.origin
	}
	return byDefault
}
