package tls

import (
	"cmp"
	"time"
)

// ALPN is the protocol (RFC 7301) that both ends offer where Config names no other.
const ALPN = "tunnels/1"

// Config names the files of one end. A path may name one PEM file that holds
// key, certificate and CA together, as `tunnels certs client` writes it.
type Config struct {
	Cert string // this end's certificate, its chain behind it
	Key  string // its private key; empty: it is in the file Cert
	CA   string // who signed the certificates of the other end

	// ServerName is the name a client expects in the server's certificate.
	// Empty: the host of the address it dials.
	ServerName string

	// Material is used instead of the three files if it is not nil.
	Material *Material

	// Protocol is the ALPN name that this end offers; empty: ALPN. A peer that
	// offers another one is refused, one that offers none is served: its conn's
	// NegotiatedProtocol is empty.
	Protocol string

	// HandshakeTimeout is how long a handshake may take; 0: 10 s.
	HandshakeTimeout time.Duration

	// HandshakeMax is how many handshakes of a listener may be unfinished at
	// one time; 0: 256.
	HandshakeMax int

	// Hooks are told what happens; nil: nobody is.
	Hooks *Hooks

	pollEvery time.Duration // how often the files are looked at; 0: 2 s
}

// Material is what one end shows and trusts, in memory and in PEM. One text may
// serve as all three, as one file may.
type Material struct {
	Cert []byte // this end's certificate, its chain behind it
	Key  []byte // its private key; empty: it is in Cert
	CA   []byte // who signed the certificates of the other end
}

// Hooks are told what happens. Any of them may be nil. They are called from
// several goroutines at once, with no lock held, and must not block for long.
type Hooks struct {
	// Rejected is told that a conn was refused or, if its peer was revoked
	// later, ended: one line that says who and why. remote is empty if the
	// inner listener could not accept at all; accepting goes on.
	Rejected func(remote string, err error)

	// Reloaded is told that files were read again because they changed. With
	// an error their last good content stays in force; while an error lasts it
	// is told again, every minute if it is about CAs or revocations.
	Reloaded func(what string, err error)

	// Warning is told, when a client or a server is made, what does not keep
	// it from working but should not stay: a key that others may read, a
	// certificate near its end, session keys written to SSLKEYLOGFILE.
	Warning func(text string)
}

func (h *Hooks) rejected(remote string, err error) {
	if h != nil && h.Rejected != nil {
		h.Rejected(remote, err)
	}
}

func (h *Hooks) reloaded(events []event) {
	if h == nil || h.Reloaded == nil {
		return
	}
	for _, e := range events {
		h.Reloaded(e.what, e.err)
	}
}

func (h *Hooks) warning(text string) {
	if h != nil && h.Warning != nil {
		h.Warning(text)
	}
}

// Role is which end of a conn a Config is for.
type Role string

// The two roles.
const (
	ServerRole Role = "server"
	ClientRole Role = "client"
)

// flag is the name of the flag that sets a field of this role's Config.
func (r Role) flag(field string) string { return "-tls." + string(r) + "." + field }

func (c Config) protocol() string { return cmp.Or(c.Protocol, ALPN) }

func (c Config) handshakeTimeout() time.Duration {
	if c.HandshakeTimeout > 0 {
		return c.HandshakeTimeout
	}
	return 10 * time.Second
}

func (c Config) handshakeMax() int {
	if c.HandshakeMax > 0 {
		return c.HandshakeMax
	}
	return 256
}

func (c Config) poll() time.Duration {
	if c.pollEvery > 0 {
		return c.pollEvery
	}
	return 2 * time.Second
}
