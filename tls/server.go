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
)

// Server accepts clients. Its methods may be called from several goroutines at
// once. It must be closed, as it owns the goroutine that follows its files.
type Server struct {
	cfg   Config
	store *store
	base  *ctls.Config // holds the keys of the session tickets
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu    sync.Mutex         // guards conns
	conns map[*Conn]struct{} // handshaken and not closed
}

// NewServer reads the files of cfg. An error names the flag and the command
// that makes what is missing. Without a CA for its clients there is no server.
func NewServer(cfg Config) (*Server, error) {
	st, err := newStore(cfg, ServerRole)
	if err != nil {
		return nil, err
	}
	if err := refuse(cfg, ServerRole); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: st, stop: make(chan struct{}), conns: map[*Conn]struct{}{}}
	s.base = &ctls.Config{
		MinVersion:         ctls.VersionTLS13,
		NextProtos:         []string{cfg.protocol()},
		ClientAuth:         ctls.RequireAndVerifyClientCert,
		GetConfigForClient: s.configFor,
		KeyLogWriter:       newKeyLog(cfg.Hooks),
	}
	if cfg.Material == nil {
		s.wg.Go(s.follow)
	}
	return s, nil
}

// Close ends the following of the files. Listeners and conns are their owners'.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.stop) })
	s.wg.Wait()
	return nil
}

// Reload reads all files again, changed or not, and ends the conns of peers that
// are not accepted any more. What cannot be used is an error and leaves its last
// good content in force.
func (s *Server) Reload() error {
	before := s.store.now.Load()
	events, err := s.store.reload()
	s.applied(before, events)
	return err
}

// follow looks at the files again and again. Conns that are open must end when
// their peer is revoked, though nobody connects: so this cannot be left to the
// next handshake.
func (s *Server) follow() {
	ticker := time.NewTicker(s.cfg.poll())
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			before := s.store.now.Load()
			s.applied(before, s.store.look())
		}
	}
}

// applied tells what was read again and ends the conns it concerns.
func (s *Server) applied(before *snapshot, events []event) {
	now := s.store.now.Load()
	if now.pool != before.pool || !sameLists(now.crls, before.crls) {
		s.sweep(now)
	}
	s.cfg.Hooks.reloaded(events)
}

// sameLists tells whether two snapshots share their revocation lists. A list is
// never changed once it is read.
func sameLists(a, b []crl) bool {
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

// recheck ends a conn whose peer would be refused now. Dates are those of its
// handshake: a conn does not end because its peer's certificate expired since.
func (s *Server) recheck(c *Conn, now *snapshot) {
	err := now.judge(c.peer, x509.ExtKeyUsageClientAuth, c.since)
	if err == nil || !s.forget(c) {
		return
	}
	reason, _ := verdict(err, c.peer[0], ClientRole, c.since)
	name := label(c.peer[0])
	c.dismiss(&CertificateError{
		Reason: "client " + name + ": " + strings.Replace(reason, "certificate of "+name, "its certificate", 1),
		Err:    fmt.Errorf("%w: %w", ErrDismissed, err),
	})
	s.cfg.Hooks.rejected(c.RemoteAddr().String(), &CertificateError{Reason: reason + "; its open conn is ended", Err: err})
}

// forget ends the watching of a conn; false if it was not watched any more.
func (s *Server) forget(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.conns[c]
	delete(s.conns, c)
	return ok
}

// configFor is asked at each handshake, so each sees the files as they are.
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
		return checkRevoked(now.crls, state.VerifiedChains)
	}
	return cfg, nil
}

// admit makes a Conn of a finished handshake and watches it from now on.
func (s *Server) admit(tc *ctls.Conn, low *lower) *Conn {
	c := newConn(tc, low)
	c.forget = func() { s.forget(c) }
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	// Files that were read during the handshake were in force before the conn
	// was watched, then it is judged here, or later, then by the sweep.
	if now := s.store.now.Load(); now != low.judgedBy {
		s.recheck(c, now)
	}
	return c
}

// explain puts into words why a handshake failed.
func (s *Server) explain(err error, low *lower) error {
	if _, ok := remoteAlert(err); ok {
		own := s.store.now.Load().pair.Leaf
		return refusedByClient(err, own, low.serverName, time.Now())
	}
	if !low.heard {
		return unheard{cmp.Or(endedEarly(err, ClientRole, s.cfg.handshakeTimeout()), fmt.Errorf("TLS handshake: %w", err))}
	}
	if said := endedEarly(err, ClientRole, s.cfg.handshakeTimeout()); said != nil {
		return said
	}
	// crypto/tls has no type for a client without a certificate.
	if strings.Contains(err.Error(), "client didn't provide a certificate") {
		return &CertificateError{Reason: "no certificate", Err: err}
	}
	var leaf *x509.Certificate
	if e, ok := errors.AsType[*ctls.CertificateVerificationError](err); ok {
		leaf = e.UnverifiedCertificates[0]
	} else if e, ok := errors.AsType[*revokedError](err); ok {
		leaf = e.cert
	} else {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	reason, _ := verdict(err, leaf, ClientRole, time.Now())
	mend := ""
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		mend = "-tls.server.ca trusts " + trusted(s.store.now.Load().cas, issuerOf(err, leaf))
	}
	return &CertificateError{Reason: reason, Mend: mend, Err: err}
}
