// Package config parses the command line, the environment and a file into the
// configuration of the other packages.
//
// Every option has one name, in three spellings:
//
//	-server.addr :443              on the command line
//	TUNNELS_SERVER_ADDR=:443       in the environment
//	server.addr = :443             in the file named by -config
//
// The command line overrides the environment, which overrides the file. An empty
// environment variable counts as unset. In the file, a line that begins with # is a
// comment, as is the text after a # that follows a space; a value may be in double
// quotes, with Go's escapes, or in single quotes, taken literally.
//
// [Parse] checks everything that can be checked without using the network, so that a
// process with an invalid configuration does not start.
package config

import (
	"tunnels/sla"
	"tunnels/tunnel"
)

// Config is the configuration of one process.
type Config struct {
	Server bool // run the exit
	Client bool // run the proxy

	Tunnel tunnel.Config
	SLA    sla.Config

	// ClientOpen permits applications on other machines to use the client.
	ClientOpen bool
	// File is the configuration file that was read, or empty.
	File string
	// Warnings are messages for the user that are not errors.
	Warnings []string

	given map[string]given // explicitly set values, by option name

	clientAddrs []string // from -client.addr; source of Tunnel.ClientAddrs
	clientNet   string   // network for addresses without one
}

// given is an explicitly set value and its origin.
type given struct {
	value, origin string
}

// Origins other than a line of a file.
const (
	commandLine = "command line"
	byDefault   = "default"
)

// Given reports whether the option of that name ("server.addr") was set, rather than
// left at its default.
func (c *Config) Given(name string) bool {
	_, ok := c.given[name]
	return ok
}

// CertsGiven reports whether any certificate, key or CA was set. If both roles run in
// one process and none is set, temporary ones are used.
func (c *Config) CertsGiven() bool {
	s, l := c.Tunnel.ServerTLS, c.Tunnel.ClientTLS
	return s.Cert+s.Key+s.CA+l.Cert+l.Key+l.CA != ""
}

// Carrier returns the network between client and server: "tls", or a plain stream
// network.
func (c *Config) Carrier() string {
	if c.Tunnel.EagerNet != "remux" {
		return c.Tunnel.EagerNet
	}
	return c.Tunnel.RemuxNet
}

// origin returns the source of an option's value.
func (c *Config) origin(name string) string {
	if g, ok := c.given[name]; ok {
		return g.origin
	}
	return byDefault
}
