//go:build unix

package acceptance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestLinkRefused checks that a client logs the reason if it is refused by its server
// or does not trust it, redials rarely and does not affect other clients.
func TestLinkRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	tunnels(t, "certs", "client", "-dir", a.dir, "lost").must(t)
	tunnels(t, "certs", "revoke", "-dir", a.dir, "lost").must(t)
	server := startServer(t, a.server()...)
	good := &linkRig{server: server}
	good.behind(t, linkSetup{client: a.client("laptop.pem")})
	echo := testnet.Echo(t)
	running := linkOpen(t, good.client.Addr, echo.Addr)

	var cas []byte
	for _, file := range []string{a.file("ca.pem"), other.file("ca.pem")} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cas = append(cas, text...)
	}
	both := writeFile(t, "both.pem", cas)

	tests := []struct {
		name   string
		args   []string
		client []string // words in the client's log line
		server []string // words in the server's log line
	}{
		{"wrong CA for the client", append(other.client("laptop.pem"), "-tls.client.ca="+both),
			[]string{"the server refused this client's certificate (laptop)", "unknown to the server"}, []string{"certificate of laptop is signed by an unknown CA"}},
		{"wrong CA for the server", other.client("laptop.pem"),
			[]string{"certificate of localhost is signed by an unknown CA"}, []string{"the client refused this server's certificate", "the client's log has the reason"}},
		{"revoked", a.client("lost.pem"),
			[]string{"certificate (lost)", "revoked"}, []string{"lost", "revoked"}},
		{"wrong name", append(a.client("laptop.pem"), "-tls.server.name=vps.example"),
			[]string{"is valid for localhost", "not for vps.example", "-tls.server.name"}, []string{"the client refused this server's certificate", "not for vps.example"}},
	}
	var all sync.WaitGroup
	for _, tt := range tests {
		all.Go(func() { refusedClient(t, server, echo.Addr, tt.name, tt.args, tt.client, tt.server) })
	}
	all.Wait()
	// The accepted client was not affected.
	if _, err := running.Write([]byte("x")); err != nil {
		t.Errorf("the accepted client's open session: %v", err)
	}
	if _, err := running.Read(make([]byte, 1)); err != nil {
		t.Errorf("the accepted client's open session: %v", err)
	}
	if _, err := linkAsk(t.Context(), good.client.Addr, echo.Addr); err != nil {
		t.Errorf("the accepted client's next request: %v", err)
	}
}

// refusedClient starts a client that will be refused, and sends requests through it for
// three seconds.
func refusedClient(t *testing.T, server *process, echo, name string, args, client, serverWords []string) {
	relay := testnet.NewRelay(t, server.Addr)
	// In TLS 1.3, a client learns that it was refused only a round trip after its
	// handshake. Give it time to assume success.
	relay.SetDelay(linkRTT / 4)
	p := startClient(t, append([]string{"-server.addr=" + relay.Addr}, args...)...)
	if !within(patience, func() bool { return len(p.lines(client...)) > 0 }) {
		t.Errorf("%s: client's log has no line with %q:\n%s", name, client, p.log())
	}
	if !within(patience, func() bool { return len(server.lines(append(serverWords, "refused:")...)) > 0 }) {
		t.Errorf("%s: server's log has no line with %q", name, serverWords)
	}
	dialed := relay.Accepted()
	var asked, yes atomic.Int64
	var asking sync.WaitGroup
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); <-tick.C {
		asked.Add(1)
		asking.Go(func() { // a request that is waiting for a conn must not delay the others
			switch _, err := linkAsk(t.Context(), p.Addr, echo); {
			case err == nil:
				t.Errorf("%s: a request was served", name)
			case err != linkRefused(1):
				yes.Add(1)
			}
		})
	}
	asking.Wait()
	if n := yes.Load(); n > 4 { // the first ones may precede the refusal
		t.Errorf("%s: %d of %d requests did not get SOCKS code 1", name, n, asked.Load())
	}
	n := relay.Accepted() - dialed
	if n > 8 {
		t.Errorf("%s: %d dials in 3 s of requests, want 8 at most", name, n)
	}
	if said := len(p.lines("cannot reach server")) + len(p.lines("[erro] [conn] -")); int64(said) > relay.Accepted() {
		t.Errorf("%s: %d log lines about failed conns for %d dials, want at most one each", name, said, relay.Accepted())
	}
	t.Logf("%s: %d requests, %d of them accepted, %d dials", name, asked.Load(), yes.Load(), n)
}

// TestLinkNoCertificate checks that a client without a certificate fails to start, and
// that a server rejects one.
func TestLinkNoCertificate(t *testing.T) {
	t.Parallel()
	a := common(t)
	server := startServer(t)
	r := tunnels(t, "-client", "-server.addr="+server.Addr, "-client.addr=127.0.0.1:0", "-sla.log.path=-", "-tls.client.ca="+a.file("ca.pem"))
	if r.Code != 2 || !strings.Contains(r.Stderr, "-tls.client.cert") || !strings.Contains(r.Stderr, "certs client") {
		t.Errorf("start without a certificate: want exit code 2, the flag and the fix, got %v", r)
	}
	b, err := os.ReadFile(a.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	c, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	tc := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"tunnels/1"}})
	_, err = tc.Read(make([]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a client without a certificate read %v, want the alert \"certificate required\"", err)
	}
	server.wantLine(patience, "client at "+c.LocalAddr().String()+" refused:", "certificate")
	t.Log(server.lines("refused:"))
	if n := len(server.lines("refused:")); n != 1 {
		t.Errorf("%d log lines about the refusal, want 1", n)
	}
}

// TestLinkRevokedWhileOpen checks that a revoked client is cut off within seconds, in
// the middle of its sessions, and that other clients are not.
func TestLinkRevokedWhileOpen(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	tunnels(t, "certs", "client", "-dir", a.dir, "lost").must(t)
	r := &linkRig{server: startServer(t, a.server()...)}
	r.behind(t, linkSetup{client: a.client("laptop.pem")})
	lost := r.addClient(t, a.client("lost.pem")...)
	origin, echo := linkOrigin(t, false), testnet.Echo(t)
	mine, theirs := linkDownload(t, r.client.Addr, origin.Addr), linkDownload(t, lost.Addr, origin.Addr)
	tunnels(t, "certs", "revoke", "-dir", a.dir, "lost").must(t)
	begin := time.Now()
	err := linkEnd(theirs, patience)
	took := time.Since(begin)
	if !errors.Is(err, syscall.ECONNRESET) || took > 15*time.Second {
		t.Errorf("the revoked client's download ended with %v after %v, want connection reset within seconds", err, took)
	}
	r.server.wantLine(patience, "revoked")
	lost.wantLine(patience, "revoked")
	if err := linkEnd(mine, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the other client's download ended with %v, want it to continue", err)
	}
	mine.Close()
	if _, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
		t.Errorf("the other client's next request: %v", err)
	}
	dialed := r.relay.Accepted()
	if err := func() error { _, err := linkAsk(t.Context(), lost.Addr, echo.Addr); return err }(); err == nil {
		t.Error("the revoked client is served again")
	}
	linkPause(3 * time.Second) // long enough for reconnection attempts
	if n := r.relay.Accepted() - dialed; n > 8 {
		t.Errorf("%d dials in 3 s by the revoked client, want 8 at most", n)
	}
	t.Logf("cut off after %v\n%s\n%s", took.Round(time.Millisecond), strings.Join(r.server.lines("revoked"), "\n"), strings.Join(lost.lines("revoked"), "\n"))
}
