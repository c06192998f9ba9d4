package tls

import (
	"cmp"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
)

// Server accepts clients. Its methods may be called concurrently. It must be closed to
// stop the goroutine that watches its files.
type Server struct {
	cfg   Config
	store *store
	base  *ctls.Config // holds the session ticket keys
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu    sync.Mutex         // guards conns
	conns map[*Conn]struct{} // open conns that have completed their handshake
}

// NewServer reads the files named in cfg. Errors name the setting and the command that
// creates a missing file. A CA for the clients is required.
func NewServer(cfg Config) (*Server, error) {
	st, err := newStore(cfg, ServerRole)
	if err != nil {
		return nil, err
	}
	if err := refuse(cfg, ServerRole); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: st, stop: make(chan struct{}), conns: map[*Conn]struct{}{}}
	s.base = cfg.settings()
	s.base.ClientAuth = ctls.RequireAndVerifyClientCert
	s.base.GetConfigForClient = s.configFor
	s.base.KeyLogWriter = newKeyLog(cfg.Hooks)
	if cfg.Material == nil {
		s.wg.Go(s.follow)
	}
	return s, nil
}

// Close stops watching the files. Listeners and conns must be closed by their owners.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.stop) })
	s.wg.Wait()
	return nil
}

// Reload rereads all files, changed or not, and closes the conns of peers that are no
// longer accepted. It returns an error for files that cannot be used; their previous
// content remains in use.
func (s *Server) Reload() error {
	before := s.store.now.Load()
	events, err := s.store.reload()
	s.applied(before, events)
	return err
}

// follow polls the files. It cannot wait for the next handshake, because open conns
// must be closed when their peer is revoked, even if no client connects.
func (s *Server) follow() {
	ticker := time.NewTicker(s.cfg.poll())
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			before := s.store.now.Load()
			s.applied(before, s.store.check())
		}
	}
}

// applied reports the reloaded files and closes the conns affected.
func (s *Server) applied(before *snapshot, events []event) {
	now := s.store.now.Load()
	if now.pool != before.pool || !sameLists(now.crls, before.crls) {
		s.sweep(now)
	}
	s.cfg.Hooks.reloaded(events)
}

// sameLists reports whether two snapshots share their revocation lists. Lists never
// change once read.
func sameLists(a, b []crl.List) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (s *Server) sweep(now *snapshot) {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		s.recheck(c, now)
	}
}

// recheck closes a conn if its peer would now be refused. Dates are checked as of the
// handshake, because a certificate that has expired since then does not end its conn.
func (s *Server) recheck(c *Conn, now *snapshot) {
	err := now.judge(c.peer, x509.ExtKeyUsageClientAuth, c.since)
	if err == nil || !s.forget(c) {
		return
	}
	reason, _ := verdict(err, c.peer[0], ClientRole, Names{}, c.since)
	name := certtext.Label(c.peer[0])
	c.dismiss(&CertificateError{
		Reason: "client " + name + ": " + strings.Replace(reason, "certificate of "+name, "its certificate", 1),
		Err:    fmt.Errorf("%w: %w", ErrDismissed, err),
	})
	s.cfg.Hooks.rejected(c.RemoteAddr().String(), &CertificateError{Reason: reason + "; its open conn was closed", Err: err})
}

// forget stops tracking a conn and reports whether it was tracked.
func (s *Server) forget(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.conns[c]
	delete(s.conns, c)
	return ok
}

// configFor is called for each handshake, so that each one uses the current files.
func (s *Server) configFor(hello *ctls.ClientHelloInfo) (*ctls.Config, error) {
	now := s.store.now.Load()
	if low, ok := hello.Conn.(*lower); ok {
		low.serverName, low.judgedBy = hello.ServerName, now
	}
	cfg := s.base.Clone()
	cfg.GetConfigForClient = nil
	cfg.Certificates = []ctls.Certificate{*now.pair}
	cfg.ClientCAs = now.pool
	cfg.VerifyConnection = func(state ctls.ConnectionState) error {
		return crl.Check(now.crls, state.VerifiedChains)
	}
	return cfg, nil
}

// admit creates a Conn from a completed handshake and starts tracking it.
func (s *Server) admit(tc *ctls.Conn, low *lower) *Conn {
	c := newConn(tc, low)
	c.forget = func() { s.forget(c) }
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	// If files reloaded during the handshake were applied before the conn was tracked,
	// check it here. If they are applied later, the sweep checks it.
	if now := s.store.now.Load(); now != low.judgedBy {
		s.recheck(c, now)
	}
	return c
}

// explain returns an error that says why a handshake failed.
func (s *Server) explain(err error, low *lower) error {
	if _, ok := remoteAlert(err); ok {
		own := s.store.now.Load().pair.Leaf
		return refusedByClient(err, own, low.serverName, time.Now())
	}
	if !low.heard.Load() {
		return unheard{cmp.Or(endedEarly(err, ClientRole, s.cfg.handshakeTimeout()), fmt.Errorf("TLS handshake: %w", err))}
	}
	if early := endedEarly(err, ClientRole, s.cfg.handshakeTimeout()); early != nil {
		return early
	}
	// crypto/tls has no type for a client without a certificate.
	if strings.Contains(err.Error(), "client didn't provide a certificate") {
		return &CertificateError{Reason: "no certificate", Err: err}
	}
	var leaf *x509.Certificate
	if e, ok := errors.AsType[*ctls.CertificateVerificationError](err); ok {
		leaf = e.UnverifiedCertificates[0]
	} else if e, ok := errors.AsType[*crl.RevokedError](err); ok {
		leaf = e.Cert
	} else {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	reason, _ := verdict(err, leaf, ClientRole, s.cfg.names(), time.Now())
	fix := ""
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		fix = s.cfg.names().CA + " trusts " + trusted(s.store.now.Load().cas, issuerOf(err, leaf))
	}
	return &CertificateError{Reason: reason, Fix: fix, Err: err}
}
