// Package tunnel joins the packages below it: a Client takes applications' connections and
// carries their requests to a Server, which is their exit.
//
//	application ─ eagersocks ─ Client ─ remux ─ tls ── tls ─ remux ─ Server ─ exit ─ target
//
// Everything that happens is reported through Events, to which the service log and the
// table of live sessions subscribe.
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

// ErrClosed is returned by Listen and ListenAndServe of a Client or Server on which
// Shutdown or Close was called, also while they were starting.
var ErrClosed = lifecycle.ErrClosed

// Config is what one process needs to be a client, a server or both.
type Config struct {
	ServerNet    string          // network the server is reached by: tcp, tcp4, tcp6 or unix
	ServerAddr   string          // where the server listens; for a client without Servers, the server to dial
	Servers      []string        // the servers that a client may use; empty means ServerAddr alone
	ServerChoice upstream.Choice // how it chooses among them; empty means upstream.Best

	ClientAddrs []netx.Endpoint // where the client listens for applications; one at least
	ClientUsers string          // file of users and passwords (users.Open); empty means that none is needed

	RemuxNet string // what carries remux: tls, or a plain stream network
	EagerNet string // what carries requests: remux, tls, or a plain stream network
	Insecure bool   // plain networks may leave this machine

	Remux     remux.Config
	Eager     eagersocks.Config
	Web       httpdoor.Config // the HTTP proxy of the front door and its PAC file
	EagerMode eagersocks.Mode
	ServerTLS tls.Config // the server's certificate and its clients' CA
	ClientTLS tls.Config // the client's certificate and its server's CA

	Allow       *policy.List   // targets the exit may reach though its defaults forbid them; or nil
	Deny        *policy.List   // targets it may not reach, whatever Allow says; or nil
	DNS         resolve.Config // how targets are resolved
	DialTimeout time.Duration  // for resolving and connecting to a target; 0 means DefaultDialTimeout

	Rules   string       // file of the clients' rules (rules.Open), or empty
	SessMax rules.Limit  // for the sessions of all clients; 0 means admission.DefaultSessMax
	Limits  rules.Limits // for clients that Rules does not limit

	Names Names // for messages

	Events *Events // called when something happens; may be nil
}

// Names are the names of settings in messages, as the user knows them. Plain words stand
// in for those that are empty.
type Names struct {
	ClientUsers string // the users file
	Rules       string // the rules file
}

// DefaultDialTimeout is the DialTimeout if Config sets none.
const DefaultDialTimeout = 10 * time.Second

// dialTimeout returns DialTimeout or its default.
func (c *Config) dialTimeout() time.Duration {
	if c.DialTimeout > 0 {
		return c.DialTimeout
	}
	return DefaultDialTimeout
}

// directALPN names what TLS carries without remux. An end that carries something else is
// refused, and its bytes are not mistaken for a target's.
const directALPN = "tunnels-request/1"

// protocol returns the ALPN name for this way, or "" for that of package tls.
func (w way) protocol() string {
	if w.mux {
		return ""
	}
	return directALPN
}

// Networks that package net does not have.
const (
	netRemux = "remux"
	netTLS   = "tls"
)

// way is how requests travel, resolved from the names of networks.
type way struct {
	mux     bool   // as sessions of remux
	secured bool   // over TLS
	network string // package net's network beneath
	address string // where a server listens
}

// way reads the one table of networks: EagerNet names what carries requests; where
// that is remux, RemuxNet names what carries conns; and where one of them is tls,
// ServerNet names what carries TLS.
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
			return w, errors.New("the address of the server is missing")
		}
		if !w.secured && !c.Insecure && !netx.IsLoopback(w.network, address) {
			return w, fmt.Errorf("%s %s would carry everything in the clear: use tls, or set Insecure", w.network, address)
		}
	}
	return w, nil
}

// servers returns the addresses that a client may dial, or for a server the one where it
// listens.
func (c *Config) servers() []string {
	if len(c.Servers) > 0 {
		return c.Servers
	}
	return []string{c.ServerAddr}
}
