package tls

import (
	"os"
	"strings"
	"testing"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
)

func wantEvent(t *testing.T, h *hookRecorder, part, wantErr string) {
	t.Helper()
	e := receive(t, h.reloaded, "event about the "+part)
	if !strings.HasPrefix(e.what, part) {
		t.Fatalf("event about %q (%v), want %q", e.what, e.err, part)
	}
	if wantErr == "" && e.err != nil || wantErr != "" && (e.err == nil || !strings.Contains(e.err.Error(), wantErr)) {
		t.Fatalf("event about %q: error %v, want %q", e.what, e.err, wantErr)
	}
}

func TestRevokedWhileOpen(t *testing.T) {
	p := newPKI(t)
	laptop := p.leaf(ClientRole, "laptop")
	h := serve(t, p.server())
	client := newClient(t, p.config("laptop.pem", laptop))
	c, _ := h.pair(client)
	otherC, otherS := h.pair(newClient(t, p.client("other")))
	p.revoke(laptop)
	if err := endOf(c); !isReset(err) {
		t.Errorf("open conn of a revoked client ended with %v, want a reset", err)
	}
	want := "certificate of laptop was revoked on " + certtext.Day(p.since) + "; its open conn was closed"
	if got := receive(t, h.rec.rejected, "line of the server"); got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	wantEvent(t, h.rec, partCRL, "")
	// The client has a TLS session, which must not bypass the list.
	if _, err := attemptRefused(h, client); err == nil || !strings.Contains(err.Error(), "it is revoked") {
		t.Errorf("next conn of a revoked client: %v, want it refused", err)
	}
	wantTalk(t, otherC, otherS)
}

func TestSignerGoneWhileOpen(t *testing.T) {
	p, next := newPKI(t), newPKI(t)
	h := serve(t, p.server())
	c, _ := h.pair(newClient(t, p.client("laptop")))
	p.write("ca.pem", next.ca.CertPEM())
	if err := endOf(c); !isReset(err) {
		t.Errorf("open conn of a client whose CA is no longer trusted ended with %v, want a reset", err)
	}
	want := "certificate of laptop is signed by an unknown CA (" + p.ca.Cert.Subject.CommonName + "); its open conn was closed"
	if got := receive(t, h.rec.rejected, "line of the server"); got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
}

// TestResumption checks that sessions are resumed at all, that a resumed one is
// refused once its certificate is revoked, and that a client with a new
// certificate does not continue the old one's session.
func TestResumption(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	laptop := p.leaf(ClientRole, "laptop")
	cfg := p.config("laptop.pem", laptop)
	client := newClient(t, cfg)
	for i, want := range []bool{false, true} {
		c, s := h.pair(client)
		wantTalk(t, c, s) // the ticket arrives with the first bytes
		if got := s.tls.ConnectionState().DidResume; got != want {
			t.Fatalf("conn %d: resumed = %v, want %v", i+1, got, want)
		}
		if s.PeerName() != "laptop" {
			t.Fatalf("conn %d: PeerName = %q, want %q", i+1, s.PeerName(), "laptop")
		}
		_, _ = c.Close(), s.Close()
	}
	p.revoke(laptop)
	wantEvent(t, h.rec, partCRL, "")
	if resumed := client.sessions; resumed == nil {
		t.Fatal("the client has no sessions left, so this test proves nothing")
	}
	if _, err := attemptRefused(h, client); err == nil || !strings.Contains(err.Error(), "it is revoked") {
		t.Fatalf("resumed conn of a revoked client: %v, want it refused", err)
	}
	p.config("laptop.pem", p.leaf(ClientRole, "laptop"))
	if err := client.Reload(); err != nil {
		t.Fatal(err)
	}
	c, s := h.pair(client)
	wantTalk(t, c, s)
}

// TestNewCertificateNewSession checks that a client with a new certificate does not
// resume a session, which would carry the identity of the old one.
func TestNewCertificateNewSession(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	cfg := p.client("laptop")
	client := newClient(t, cfg)
	c, s := h.pair(client)
	wantTalk(t, c, s) // the ticket arrives with the first bytes
	text, err := p.leaf(ClientRole, "desktop").BundlePEM(p.ca)
	if err != nil {
		t.Fatal(err)
	}
	p.write("laptop.pem", text)
	if err := client.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, s = h.pair(client); s.PeerName() != "desktop" {
		t.Errorf("PeerName with a new certificate = %q, want %q", s.PeerName(), "desktop")
	}
}

func TestReloadServerCertificate(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	client := newClient(t, p.client("laptop"))
	before, s := h.pair(client)
	old := before.PeerSerial()

	p.write("server.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	wantEvent(t, h.rec, partPair, "it is damaged")
	if c, _ := h.pair(newClient(t, p.client("second"))); c.PeerSerial() != old {
		t.Errorf("with a broken file the server presents %s, want the old %s", c.PeerSerial(), old)
	}

	p.server() // rewrites server.pem
	wantEvent(t, h.rec, partPair, "")
	after, s2 := h.pair(newClient(t, p.client("third")))
	if after.PeerSerial() == old {
		t.Error("the server still presents the old certificate after its file was replaced")
	}
	wantTalk(t, after, s2)
	wantTalk(t, before, s) // conns survive a change of certificate
	if n := len(h.rec.reloaded); n != 0 {
		t.Errorf("%d more events, want each reported once", n)
	}
}

// TestBrokenCertificateDoesNotHideRevocation checks that the parts are read
// independently.
func TestBrokenCertificateDoesNotHideRevocation(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	laptop := p.leaf(ClientRole, "laptop")
	c, _ := h.pair(newClient(t, p.config("laptop.pem", laptop)))
	p.write("server.pem", []byte("broken"))
	wantEvent(t, h.rec, partPair, "no certificate and no key")
	p.revoke(laptop)
	wantEvent(t, h.rec, partCRL, "")
	if err := endOf(c); !isReset(err) {
		t.Errorf("open conn of a revoked client ended with %v, want a reset", err)
	}
}

func TestBrokenCRL(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	laptop := p.leaf(ClientRole, "laptop")
	p.revoke(laptop)
	scfg := p.server()
	h := serve(t, scfg)
	refused := func(when string) {
		t.Helper()
		_, err := attemptRefused(h, newClient(t, p.config("laptop.pem", laptop)))
		if err == nil || !strings.Contains(err.Error(), "it is revoked") {
			t.Errorf("revoked client with %s: %v, want it refused", when, err)
		}
	}
	// Here ca.crl is next to the client's CA too, so the client also reads it. Create
	// the client while the list is good.
	good, err := os.ReadFile(p.path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t, p.config("laptop.pem", laptop))
	p.write("ca.crl", []byte("broken"))
	wantEvent(t, h.rec, partCRL, "no revocation list in PEM form")
	if _, err := attemptRefused(h, client); err == nil || !strings.Contains(err.Error(), "it is revoked") {
		t.Errorf("revoked client with a broken list: %v, want it refused", err)
	}
	if _, err := NewServer(scfg); err == nil || !strings.Contains(err.Error(), "ca.crl") {
		t.Errorf("NewServer with a broken list: %v, want an error that names ca.crl", err)
	}
	if err := h.server.Reload(); err == nil || !strings.Contains(err.Error(), "no revocation list") {
		t.Errorf("Reload with a broken list: %v, want an error", err)
	}
	stranger.revoke()
	foreign, err := os.ReadFile(stranger.path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("ca.crl", foreign)
	wantEvent(t, h.rec, partCRL, crl.ErrForeign.Error())
	if err := os.Remove(p.path("ca.crl")); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, h.rec, partCRL, "no longer exists")
	refused("a deleted list")
	p.write("ca.crl", good)
	wantEvent(t, h.rec, partCRL, "")
	refused("the list back")
}

// TestFallbackCRL checks that a CA file that is a bundle also uses the ca.crl next to
// it.
func TestFallbackCRL(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	cfg := p.server()
	cfg.CA = cfg.Cert
	laptop := p.leaf(ClientRole, "laptop")
	p.revoke(laptop)
	if s, err := newStore(cfg, ServerRole); err != nil || len(s.now.Load().crls) != 1 {
		t.Errorf("bundle beside its CA's ca.crl: %v, want the list in use", err)
	}
	cfg = stranger.server()
	cfg.CA = cfg.Cert
	foreign, err := os.ReadFile(p.path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	stranger.write("ca.crl", foreign)
	if s, err := newStore(cfg, ServerRole); err != nil || len(s.now.Load().crls) != 0 {
		t.Errorf("bundle beside another CA's ca.crl: %v, want the list not in use", err)
	}
}

func TestClientFollowsItsFiles(t *testing.T) {
	p, next := newPKI(t), newPKI(t)
	h := serve(t, next.server())
	cfg := p.client("laptop")
	rec := newRecorder()
	cfg.Hooks = rec.hooks()
	cfg.pollEvery = time.Nanosecond
	client := newClient(t, cfg)
	if _, err := h.dial(client); err == nil {
		t.Fatal("Dial to a server of another CA: no error")
	}
	receive(t, h.rec.rejected, "line of the server")
	text, err := next.leaf(ClientRole, "laptop").BundlePEM(next.ca)
	if err != nil {
		t.Fatal(err)
	}
	p.write("laptop.pem", text)
	p.write("ca.pem", next.ca.CertPEM())
	c, s := h.pair(client)
	wantTalk(t, c, s)
	wantEvent(t, rec, partPair, "")
	wantEvent(t, rec, partCA, "")
}
