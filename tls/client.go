package tls

import (
	"cmp"
	"context"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"tunnels/tls/internal/crl"
)

// sessionsKept is how many TLS sessions a client caches for resumption, enough for
// several per server.
const sessionsKept = 64

// Client dials servers. Its methods may be called concurrently; it has no goroutines and
// need not be closed.
type Client struct {
	// DialLower dials the conns beneath TLS. If nil, a net.Dialer is used. Set it
	// before the first Dial.
	DialLower func(ctx context.Context, network, address string) (net.Conn, error)

	cfg    Config
	store  *store
	keyLog io.Writer

	mu       sync.Mutex // guards the fields below
	sessions ctls.ClientSessionCache
	shown    *ctls.Certificate // certificate that sessions were established with
}

// NewClient reads the files named in cfg. Errors name the setting and the command that
// creates a missing file.
func NewClient(cfg Config) (*Client, error) {
	s, err := newStore(cfg, ClientRole)
	if err != nil {
		return nil, err
	}
	if err := refuse(cfg, ClientRole); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, store: s, keyLog: newKeyLog(cfg.Hooks)}, nil
}

// Reload rereads all files, changed or not. It returns an error for files that cannot
// be used; their previous content remains in use.
func (c *Client) Reload() error {
	events, err := c.store.reload()
	c.cfg.Hooks.reloaded(events)
	return err
}

// Dial connects to a server: address is "host:port", or the path of a UNIX socket if
// Config.ServerName is set. Network "tls" means TLS over "tcp"; any other network is
// the one beneath TLS. The result is a *Conn. Handshake errors do not name the server.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	network = lowerNetwork(network)
	name, err := c.serverName(network, address)
	if err != nil {
		return nil, err
	}
	c.cfg.Hooks.reloaded(c.store.poll())
	dial := c.DialLower
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err := c.handshake(ctx, raw, name)
	if err != nil {
		_ = raw.Close() // the handshake's error matters more
		return nil, err
	}
	return conn, nil
}

func (c *Client) handshake(ctx context.Context, raw net.Conn, name string) (*Conn, error) {
	limit := c.cfg.handshakeTimeout()
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("no response to the TLS handshake within %v", limit))
	defer cancel()
	now := c.store.now.Load()
	low := &lower{Conn: raw}
	tc := ctls.Client(low, c.config(now, name))
	if err := tc.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.explain(err, now)
	}
	conn := newConn(tc, low)
	own := now.pair.Leaf
	conn.readErr = func(err error) error { return cmp.Or(c.refused(err, own), err) }
	return conn, nil
}

// config returns the configuration for one dial, based on the current content of the
// files.
func (c *Client) config(now *snapshot, name string) *ctls.Config {
	conf := c.cfg.settings()
	conf.ServerName = name
	conf.RootCAs = now.pool
	// Do not use Certificates: crypto/tls sends none of them to a server that asks for
	// a different CA, so the refusal would give the wrong reason.
	conf.GetClientCertificate = func(*ctls.CertificateRequestInfo) (*ctls.Certificate, error) {
		return now.pair, nil
	}
	conf.VerifyConnection = func(state ctls.ConnectionState) error {
		return crl.Check(now.crls, state.VerifiedChains)
	}
	conf.ClientSessionCache = c.sessionsFor(now.pair)
	conf.KeyLogWriter = c.keyLog
	return conf
}

// sessionsFor returns the cache of sessions established with a certificate. A resumed
// session carries the identity of its certificate, so a new certificate starts a new
// cache.
func (c *Client) sessionsFor(pair *ctls.Certificate) ctls.ClientSessionCache {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil || c.shown != pair {
		c.sessions, c.shown = ctls.NewLRUClientSessionCache(sessionsKept), pair
	}
	return c.sessions
}

// explain turns a handshake error into one that users understand.
func (c *Client) explain(err error, now *snapshot) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && op.Err.Error() == alertNoProtocol.Error() {
		return fmt.Errorf("the server speaks a protocol other than %s over TLS; %s must be the same on both ends: %w", c.cfg.protocol(), c.cfg.names().Protocol, err)
	}
	if refused := c.refused(err, now.pair.Leaf); refused != nil {
		return refused
	}
	var leaf *x509.Certificate
	if e, ok := errors.AsType[*ctls.CertificateVerificationError](err); ok {
		leaf = e.UnverifiedCertificates[0]
	} else if e, ok := errors.AsType[*crl.RevokedError](err); ok {
		leaf = e.Cert
	} else if early := endedEarly(err, ServerRole, c.cfg.handshakeTimeout()); early != nil {
		return early
	} else {
		return err
	}
	reason, fix := verdict(err, leaf, ServerRole, c.cfg.names(), time.Now())
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		fix = c.cfg.names().CA + " trusts " + trusted(now.cas, issuerOf(err, leaf)) + "; it must name the CA that signed the server's certificate"
	}
	return &CertificateError{Reason: reason, Fix: fix, Err: err}
}

// refused returns the server's refusal of this client's certificate as an error, or nil
// if err is not a refusal.
func (c *Client) refused(err error, own *x509.Certificate) error {
	a, ok := remoteAlert(err)
	if !ok {
		return nil
	}
	c.mu.Lock()
	c.sessions = nil // the certificate they were established with is now refused
	c.mu.Unlock()
	return refusedByServer(a, err, own, c.cfg.names(), time.Now())
}

// serverName returns the name expected in the server's certificate.
func (c *Client) serverName(network, address string) (string, error) {
	if c.cfg.ServerName != "" {
		return c.cfg.ServerName, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.HasPrefix(network, "unix") {
		return "", fmt.Errorf("address %q of network %s has no host name to check the server's certificate against: set %s", address, network, c.cfg.names().ServerName)
	}
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address
	return strings.TrimSuffix(host, "."), nil
}
