package tls

import (
	"cmp"
	"time"

	"tunnels/tls/internal/authority"
)

// ALPN is the protocol (RFC 7301) that both ends offer by default.
const ALPN = "tunnels/1"

// Config names the files for one end. All paths may name the same PEM file if it holds
// a key, certificate and CA, like the files that `tunnels certs client` writes.
type Config struct {
	Cert string // this end's certificate, followed by its chain
	Key  string // its private key, or empty if the file Cert holds it
	CA   string // the CA that signed the other end's certificates

	// ServerName is the name a client expects in the server's certificate. It defaults
	// to the host in the dialed address.
	ServerName string

	// Material, if not nil, is used instead of the three files.
	Material *Material

	// Protocol is the ALPN name this end offers; the default is ALPN. A peer that offers
	// a different protocol is refused. A peer that offers none is accepted, and
	// NegotiatedProtocol of its conn is empty.
	Protocol string

	// HandshakeTimeout limits the duration of a handshake; 0 means 10 s.
	HandshakeTimeout time.Duration

	// HandshakeMax limits the unfinished handshakes of a listener; 0 means 256.
	HandshakeMax int

	// Hooks, if not nil, are called on events.
	Hooks *Hooks

	// Names are the setting names used in messages.
	Names Names

	pollEvery time.Duration // interval between checks of the files; 0 means 2 s
}

// Names holds the names of a Config's settings as users know them, for use in messages.
// Empty ones are replaced by plain words.
type Names struct {
	Cert       string // the file of Config.Cert
	Key        string // the file of Config.Key
	CA         string // the file of Config.CA
	ClientAll  string // a client's three files together
	ServerName string // Config.ServerName
	Address    string // where a server listens and a client dials
	Protocol   string // the setting that determines Config.Protocol
}

// names returns c.Names with empty ones replaced by plain words.
func (c Config) names() Names {
	n := c.Names
	return Names{
		Cert:       cmp.Or(n.Cert, "the certificate file"),
		Key:        cmp.Or(n.Key, "the key file"),
		CA:         cmp.Or(n.CA, "the CA file"),
		ClientAll:  cmp.Or(n.ClientAll, "a client's certificate, key and CA"),
		ServerName: cmp.Or(n.ServerName, "the server name"),
		Address:    cmp.Or(n.Address, "the server's address"),
		Protocol:   cmp.Or(n.Protocol, "the protocol"),
	}
}

// file returns the name used for the file of one field: "cert", "key" or "ca".
func (n Names) file(field string) string {
	return map[string]string{"cert": n.Cert, "key": n.Key, "ca": n.CA}[field]
}

// fixClient tells the user how to get a client certificate.
func (n Names) fixClient() string {
	return "`tunnels certs client NAME`, run where the CA's key is, creates one file that serves as " + n.ClientAll
}

// Material holds one end's certificate, key and CAs in memory, as PEM. All three may be
// the same text, just as the three files may be the same file.
type Material struct {
	Cert []byte // this end's certificate, followed by its chain
	Key  []byte // its private key, or empty if Cert holds it
	CA   []byte // the CA that signed the other end's certificates
}

// Hooks are functions called on events. Any of them may be nil. They are called
// concurrently, with no lock held, and must not block for long.
type Hooks struct {
	// Rejected is called when a conn is refused or, if its peer is revoked later,
	// closed. The error is a single line with the peer and the reason. remote is empty
	// if the inner listener failed to accept a connection; the listener keeps trying.
	Rejected func(remote string, err error)

	// Reloaded is called when changed files have been reloaded. If err is not nil,
	// their previous content remains in use; persistent errors are reported again,
	// every minute for CAs and revocation lists, less often for certificates.
	Reloaded func(what string, err error)

	// Warning is called while a client or server is being created, for problems that do
	// not keep it from working: a key that other users can read, a certificate about to
	// expire, session keys written to SSLKEYLOGFILE.
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

// Role says which end of a conn a Config is for.
type Role = authority.Role

// The two roles.
const (
	ServerRole = authority.ServerRole
	ClientRole = authority.ClientRole
)

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
