// Package tunnel joins the packages below it: a Client accepts applications'
// connections and carries their requests to a Server, their exit.
//
//	application ─ eagersocks ─ Client ─ remux ─ tls ── tls ─ remux ─ Server ─ exit ─ target
//
// Both report everything that happens through Events. The service log and the table of
// live sessions subscribe to it.
package tunnel

import (
	"errors"
	"fmt"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/httpdoor"
	"tunnels/internal/lifecycle"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/resolve"
	"tunnels/internal/rules"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/tls"
)

// ErrClosed is returned by Listen and ListenAndServe if Shutdown or Close was called on
// the Client or Server, even while it was starting.
var ErrClosed = lifecycle.ErrClosed

// Config configures one process as a client, a server or both.
type Config struct {
	ServerNet    string          // network used to reach the server: tcp, tcp4, tcp6 or unix
	ServerAddr   string          // address the server listens on; without Servers, also the one a client dials
	Servers      []string        // servers a client may use; empty means only ServerAddr
	ServerChoice upstream.Choice // how a client chooses among Servers; empty means upstream.Best

	ClientAddrs []netx.Endpoint // where the client listens for applications; at least one
	ClientUsers string          // file of users and passwords (see users.Open); empty means no login

	RemuxNet string // network that carries remux: tls, or a plain stream network
	EagerNet string // network that carries requests: remux, tls, or a plain stream network
	Insecure bool   // allow plain networks to other machines

	Congestion netx.Congestion // congestion control of TCP connections between client and server

	Remux     remux.Config
	Eager     eagersocks.Config
	Web       httpdoor.Config // HTTP proxy and PAC file of the front door
	EagerMode eagersocks.Mode
	ServerTLS tls.Config // the server's certificate and its clients' CA
	ClientTLS tls.Config // the client's certificate and its server's CA

	Allow       *policy.List   // targets allowed despite the exit's defaults; may be nil
	Deny        *policy.List   // targets forbidden even if Allow lists them; may be nil
	DNS         resolve.Config // how to resolve targets
	DialTimeout time.Duration  // limit for resolving a target and connecting to it; 0 means DefaultDialTimeout

	Rules   string       // file of rules for clients (see rules.Open), or empty
	SessMax rules.Limit  // limit on the sessions of all clients together; 0 means admission.DefaultSessMax
	Limits  rules.Limits // limits for clients without limits in Rules

	Names Names // the settings' names in messages

	Events *Events // hooks to call; may be nil
}

// Names holds the names of settings for use in messages, as the user knows them. Empty
// names are replaced by generic descriptions.
type Names struct {
	ClientUsers string // the users file
	Rules       string // the rules file
}

// DefaultDialTimeout is used if Config sets no DialTimeout.
const DefaultDialTimeout = 10 * time.Second

// dialTimeout returns DialTimeout or the default.
func (c *Config) dialTimeout() time.Duration {
	if c.DialTimeout > 0 {
		return c.DialTimeout
	}
	return DefaultDialTimeout
}

// directALPN is the ALPN name for TLS without remux. A peer that uses remux is refused,
// so that its bytes are not mistaken for a target's.
const directALPN = "tunnels-request/1"

// protocol returns the ALPN name for this way, or "" for package tls's default.
func (w way) protocol() string {
	if w.mux {
		return ""
	}
	return directALPN
}

// Networks in addition to those of package net.
const (
	netRemux = "remux"
	netTLS   = "tls"
)

// way describes how requests travel, as resolved from the names of networks.
type way struct {
	mux     bool   // requests are remux sessions
	secured bool   // TLS is used
	network string // underlying network of package net
	address string // address a server listens on
}

// way resolves the names of networks: EagerNet carries requests; if that is remux,
// RemuxNet carries its conns; and if either is tls, ServerNet carries TLS.
func (c *Config) way() (way, error) {
	w := way{network: c.EagerNet, address: c.ServerAddr}
	if c.EagerNet == netRemux {
		w.mux, w.network = true, c.RemuxNet
	}
	if w.network == netTLS {
		w.secured, w.network = true, c.ServerNet
	}
	switch w.network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return w, fmt.Errorf("network %q cannot carry requests: want remux, tls, tcp, tcp4, tcp6 or unix", w.network)
	}
	for _, address := range c.servers() {
		if address == "" {
			return w, errors.New("the server's address is missing")
		}
		if !w.secured && !c.Insecure && !netx.IsLoopback(w.network, address) {
			return w, fmt.Errorf("%s %s would carry everything in the clear: use tls, or set Insecure", w.network, address)
		}
	}
	return w, nil
}

// servers returns the addresses a client may dial or, for a server, the one it listens
// on.
func (c *Config) servers() []string {
	if len(c.Servers) > 0 {
		return c.Servers
	}
	return []string{c.ServerAddr}
}
