package tls

import (
	"context"
	ctls "crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"tunnels/tls/internal/certtext"
)

// TestRefused has a row for each reason to refuse a certificate, with the exact line
// that each end reports.
func TestRefused(t *testing.T) {
	hour := time.Hour
	now := time.Now()
	past, future := certtext.Day(now.Add(-hour)), certtext.Day(now.Add(48*hour))
	tests := []struct {
		name  string
		setUp func(p *pki, stranger *pki) (server, client Config)
		// Words in capitals are replaced: SINCE by the time of revocation, OURS and
		// STRANGER by the names of the two CAs.
		server, client string
		dialFails      bool
	}{
		{
			name: "client of another CA",
			setUp: func(p, stranger *pki) (Config, Config) {
				cl := stranger.client("mallory")
				cl.CA = p.path("ca.pem")
				return p.server(), cl
			},
			server: "certificate of mallory is signed by an unknown CA (STRANGER); -tls.server.ca trusts OURS",
			client: "the server refused this client's certificate (mallory): the CA that signed it (STRANGER) is unknown to the server; " + fixClient,
		},
		{
			name: "client expired",
			setUp: func(p, _ *pki) (Config, Config) {
				return p.server(), p.config("laptop.pem", p.leafAt(ClientRole, now.Add(-48*hour), now.Add(-hour), "laptop"))
			},
			server: "certificate of laptop expired on " + past,
			client: "the server refused this client's certificate (laptop): it expired on " + past + "; " + fixClient,
		},
		{
			name: "client not yet valid",
			setUp: func(p, _ *pki) (Config, Config) {
				return p.server(), p.config("laptop.pem", p.leafAt(ClientRole, now.Add(48*hour), now.Add(96*hour), "laptop"))
			},
			server: "certificate of laptop is not valid before " + future,
			client: "the server refused this client's certificate (laptop): it is not valid before " + future + "; " + fixClient,
		},
		{
			name: "client revoked",
			setUp: func(p, _ *pki) (Config, Config) {
				l := p.leaf(ClientRole, "laptop")
				p.revoke(p.leaf(ClientRole, "other"), l)
				return p.server(), p.config("laptop.pem", l)
			},
			server: "certificate of laptop was revoked on SINCE",
			client: "the server refused this client's certificate (laptop): it is revoked; " + fixClient,
		},
		{
			name: "server's certificate as a client's",
			setUp: func(p, _ *pki) (Config, Config) {
				s := p.server()
				return s, s
			},
			server: "certificate of localhost is not a client's certificate",
			client: "the server refused this client's certificate (localhost): it is not a client's certificate; " + fixClient,
		},
		{
			name: "wrong server name",
			setUp: func(p, _ *pki) (Config, Config) {
				cl := p.client("laptop")
				cl.ServerName = "vps.example.com"
				return p.server(), cl
			},
			server:    "the client refused this server's certificate (localhost): it is valid for localhost, 127.0.0.1, not for vps.example.com",
			client:    "certificate of localhost is valid for localhost, 127.0.0.1, not for vps.example.com; use one of its names in -server.addr, or set -tls.server.name to it; for a new certificate, " + fixRenew,
			dialFails: true,
		},
		{
			name: "server of another CA",
			setUp: func(p, stranger *pki) (Config, Config) {
				s := stranger.server()
				s.CA = p.path("ca.pem")
				return s, p.client("laptop")
			},
			server:    "the client refused this server's certificate (localhost): unknown CA, wrong name or revoked; the client's log has the reason",
			client:    "certificate of localhost is signed by an unknown CA (STRANGER); -tls.client.ca trusts OURS; it must name the CA that signed the server's certificate",
			dialFails: true,
		},
		{
			name: "server expired",
			setUp: func(p, _ *pki) (Config, Config) {
				return p.config("server.pem", p.leafAt(ServerRole, now.Add(-48*hour), now.Add(-hour), "127.0.0.1")), p.client("laptop")
			},
			server:    "the client refused this server's certificate (127.0.0.1): it expired on " + past,
			client:    "certificate of 127.0.0.1 expired on " + past + "; " + fixDates,
			dialFails: true,
		},
		{
			name: "server revoked",
			setUp: func(p, _ *pki) (Config, Config) {
				l := p.leaf(ServerRole, "127.0.0.1")
				p.revoke(l)
				return p.config("server.pem", l), p.client("laptop")
			},
			server:    "the client refused this server's certificate (127.0.0.1): unknown CA, wrong name or revoked; the client's log has the reason",
			client:    "certificate of 127.0.0.1 was revoked on SINCE",
			dialFails: true,
		},
		{
			name: "client's certificate as a server's",
			setUp: func(p, _ *pki) (Config, Config) {
				cl := p.client("laptop")
				cl2 := cl
				cl2.ServerName = "laptop"
				return cl, cl2
			},
			server:    "the client refused this server's certificate (laptop): it is not a server's certificate",
			client:    "certificate of laptop is not a server's certificate; the server was started with the wrong file: " + fixServerFile,
			dialFails: true,
		},
		{
			name: "name in the common name alone",
			setUp: func(p, _ *pki) (Config, Config) {
				cl := p.client("laptop")
				cl.ServerName = "localhost"
				return p.withNames(ServerRole, "localhost", nil, nil), cl
			},
			server:    "the client refused this server's certificate (localhost): it is valid for no host: only names in subjectAltName count, not the common name",
			client:    "certificate of localhost is valid for no host: only names in subjectAltName count, not the common name; make one for localhost with subjectAltName, as `tunnels certs init` does",
			dialFails: true,
		},
		{
			name: "address as a DNS name",
			setUp: func(p, _ *pki) (Config, Config) {
				return p.withNames(ServerRole, "x", []string{"127.0.0.1"}, nil), p.client("laptop")
			},
			server:    "the client refused this server's certificate (127.0.0.1): unknown CA, wrong name or revoked; the client's log has the reason",
			client:    "certificate of 127.0.0.1 has the address 127.0.0.1 as a DNS name, where it has no effect; make one with subjectAltName=IP:127.0.0.1",
			dialFails: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, stranger := newPKI(t), newPKI(t)
			scfg, ccfg := tt.setUp(p, stranger)
			words := strings.NewReplacer("OURS", p.ca.Cert.Subject.CommonName, "STRANGER", stranger.ca.Cert.Subject.CommonName, "SINCE", certtext.Day(p.since))
			// The other end may be a different implementation that starts even with a
			// bad certificate.
			h := serve(t, p.config("good-server.pem", p.leaf(ServerRole, "localhost")))
			h.server.store.now.Store(p.forced(scfg, ServerRole))
			refused, err := attemptRefused(h, p.forcedClient(ccfg))
			if refused != tt.dialFails {
				t.Errorf("Dial refused = %v, want %v", refused, tt.dialFails)
			}
			var ce *CertificateError
			if !errors.As(err, &ce) {
				t.Fatalf("client's error = %T %v, want a *CertificateError", err, err)
			}
			if want := words.Replace(tt.client); want != "" && ce.Error() != want {
				t.Errorf("client's line\n got %s\nwant %s", ce, want)
			}
			want := words.Replace(tt.server)
			if got := receive(t, h.rec.rejected, "line of the server"); got != want {
				t.Errorf("server's line\n got %s\nwant %s", got, want)
			}
			if len(h.conns) != 0 {
				t.Error("Accept returned a conn of a refused client")
			}
		})
	}
}

// attemptRefused dials, writes and reads, and returns the resulting error; inDial is
// true if Dial itself failed.
func attemptRefused(h *testServer, c *Client) (inDial bool, err error) {
	conn, err := h.dial(c)
	if err != nil {
		return true, err
	}
	// The client writes before it reads, as the protocol above TLS does. This must not
	// hide the reason.
	for range 8 {
		if _, err := conn.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	return false, endOf(conn)
}

func TestOthersAreUnaffected(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	h := serve(t, p.server())
	good := newClient(t, p.client("laptop"))
	c1, s1 := h.pair(good)
	bad := stranger.client("mallory")
	bad.CA = p.path("ca.pem")
	if _, err := attemptRefused(h, p.forcedClient(bad)); !isReset(err) {
		t.Fatalf("stranger's conn ended with %v, want a refusal", err)
	}
	wantTalk(t, c1, s1)
	c2, s2 := h.pair(good)
	wantTalk(t, c2, s2)
}

// TestRefusalIsDelivered checks that the server goes on reading from a refused client
// for a while, until the client has read the alert. If the server reset the conn
// instead, the client's writes would fail first, without the reason.
func TestRefusalIsDelivered(t *testing.T) {
	p, stranger := newPKI(t), newPKI(t)
	h := serve(t, p.server())
	bad := stranger.client("mallory")
	bad.CA = p.path("ca.pem")
	conn, err := h.dial(p.forcedClient(bad))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, h.rec.rejected, "line of the server")
	for i := range 200 {
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("write %d of a refused client that has not read yet: %v", i+1, err)
		}
	}
	var ce *CertificateError
	if err := endOf(conn); !errors.As(err, &ce) {
		t.Errorf("Read = %v, want a *CertificateError", err)
	}
}

func TestNoCertificate(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	d := ctls.Dialer{Config: &ctls.Config{RootCAs: poolOf(p.cas()), MinVersion: ctls.VersionTLS13}}
	conn, err := d.DialContext(t.Context(), "tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, want := receive(t, h.rec.rejected, "line of the server"), "no certificate"; got != want {
		t.Errorf("server's line = %q, want %q", got, want)
	}
	_, err = conn.Read(make([]byte, 1))
	alert, ok := remoteAlert(err)
	if !ok || alert != alertCertificateRequired {
		t.Fatalf("client's Read: %v, want the alert certificate required", err)
	}
	line := refusedByServer(alert, err, p.leaf(ClientRole, "laptop").Cert, named(Config{}, ClientRole).names(), time.Now()).Error()
	if want := "the server refused this client: it showed no certificate; " + fixClient; line != want {
		t.Errorf("client's line = %q, want %q", line, want)
	}
}

func TestNotTLS(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, h.rec.rejected, "line of the server"); !strings.HasPrefix(got, "the client does not speak TLS") {
		t.Errorf("server's line = %q, want one that says it is not TLS", got)
	}
}

func TestTLS12IsRefused(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	d := ctls.Dialer{Config: &ctls.Config{RootCAs: poolOf(p.cas()), MinVersion: ctls.VersionTLS12, MaxVersion: ctls.VersionTLS12}}
	if conn, err := d.DialContext(t.Context(), "tcp", h.addr); err == nil {
		conn.Close()
		t.Error("a TLS 1.2 client was served")
	}
	if got := receive(t, h.rec.rejected, "line of the server"); !strings.Contains(got, "unsupported versions") {
		t.Errorf("server's line = %q, want one about versions", got)
	}
}

func TestSilentServer(t *testing.T) {
	p := newPKI(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	cfg := p.client("laptop")
	cfg.HandshakeTimeout = 50 * time.Millisecond
	_, err = newClient(t, cfg).Dial(t.Context(), "tcp", inner.Addr().String())
	if err == nil || !strings.HasSuffix(err.Error(), "no response to the TLS handshake within 50ms") {
		t.Errorf("Dial to a silent server: %v, want one line that says so", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = newClient(t, p.client("x")).Dial(ctx, "tcp", inner.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial with a cancelled context: %v, want %v", err, context.Canceled)
	}
}

// TestOtherProtocol checks that a peer that speaks a different protocol over TLS is
// refused with a reason.
func TestOtherProtocol(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	conf := p.client("laptop")
	conf.Protocol = "other/1"
	c, err := newClient(t, conf).Dial(t.Context(), "tcp", h.addr)
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "a protocol other than other/1") {
		t.Errorf("Dial with other/1 to a server that speaks %s: %v, want an error that says so", ALPN, err)
	}
}

func TestALPN(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	c, s := h.pair(newClient(t, p.client("laptop")))
	if c.NegotiatedProtocol() != ALPN || s.NegotiatedProtocol() != ALPN {
		t.Errorf("NegotiatedProtocol = %q and %q, want %q", c.NegotiatedProtocol(), s.NegotiatedProtocol(), ALPN)
	}
	pair := p.leaf(ClientRole, "old")
	d := ctls.Dialer{Config: &ctls.Config{
		RootCAs:      poolOf(p.cas()),
		Certificates: []ctls.Certificate{{Certificate: [][]byte{pair.Cert.Raw}, PrivateKey: pair.Key}},
	}}
	conn, err := d.DialContext(t.Context(), "tcp", h.addr)
	if err != nil {
		t.Fatalf("peer without ALPN: %v, want it served", err)
	}
	defer conn.Close()
	if old := h.accepted(); old.NegotiatedProtocol() != "" || old.PeerName() != "old" {
		t.Errorf("peer without ALPN: protocol %q, name %q, want %q and %q", old.NegotiatedProtocol(), old.PeerName(), "", "old")
	}
}
