package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/pemfile"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that should happen immediately.
const patience = 20 * time.Second

// pki is a CA whose files are in a temporary folder.
type pki struct {
	t   testing.TB
	dir string
	ca  *authority.CA

	since time.Time // when the CA's certificates were revoked
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	ca, err := authority.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{t: t, dir: t.TempDir(), ca: ca, since: time.Now()}
	p.write("ca.pem", ca.CertPEM())
	return p
}

func (p *pki) path(file string) string { return filepath.Join(p.dir, file) }

// write replaces a file atomically: readers see the old or the new content.
func (p *pki) write(file string, data []byte) string {
	p.t.Helper()
	path := p.path(file)
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// leaf issues a certificate with the default dates.
func (p *pki) leaf(role Role, names ...string) authority.Leaf {
	p.t.Helper()
	l, err := p.ca.IssueNow(role, names, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (p *pki) leafAt(role Role, from, to time.Time, names ...string) authority.Leaf {
	p.t.Helper()
	l, err := p.ca.Issue(role, names, from, to)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// config writes a leaf's bundle and returns a configuration that uses it and trusts the
// folder's CA.
func (p *pki) config(file string, l authority.Leaf) Config {
	p.t.Helper()
	text, err := l.BundlePEM(p.ca)
	if err != nil {
		p.t.Fatal(err)
	}
	path := p.write(file, text)
	return Config{Cert: path, Key: path, CA: p.path("ca.pem"), pollEvery: 10 * time.Millisecond}
}

// named returns cfg with the option names for a role.
func named(cfg Config, r Role) Config {
	prefix := "-tls." + string(r) + "."
	cfg.Names = Names{
		Cert: prefix + "cert", Key: prefix + "key", CA: prefix + "ca",
		ClientAll:  "-tls.client.cert, .key and .ca",
		ServerName: "-tls.server.name", Address: "-server.addr", Protocol: "-eagersocks.net",
	}
	return cfg
}

// fixClient is the advice shown to a client with option names when its certificate is
// refused.
var fixClient = named(Config{}, ClientRole).names().fixClient()

// newForeignPKI returns a CA that this package did not create.
func newForeignPKI(t testing.TB, name string) *pki {
	t.Helper()
	p := newPKI(t)
	template := *p.ca.Cert
	template.Subject = pkix.Name{CommonName: name}
	p.resign(&template)
	return p
}

// expire makes the CA expire at end.
func (p *pki) expire(end time.Time) {
	p.t.Helper()
	template := *p.ca.Cert
	template.NotBefore, template.NotAfter = end.Add(-24*time.Hour), end
	p.resign(&template)
}

func (p *pki) resign(template *x509.Certificate) {
	p.t.Helper()
	template.RawSubject, template.AuthorityKeyId, template.SubjectKeyId = nil, nil, nil
	cert, err := authority.Sign(template, template, p.ca.Key.Public(), p.ca.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.ca.Cert = cert
	p.write("ca.pem", p.ca.CertPEM())
}

// withNames returns the configuration for an end whose certificate has only these names.
func (p *pki) withNames(r Role, common string, dns []string, addrs []net.IP) Config {
	p.t.Helper()
	l := p.leaf(r, "localhost")
	template := *l.Cert
	template.RawSubject, template.Subject = nil, pkix.Name{CommonName: common}
	template.DNSNames, template.IPAddresses = dns, addrs
	cert, err := authority.Sign(&template, p.ca.Cert, l.Key.Public(), p.ca.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.config("named.pem", authority.Leaf{Cert: cert, Key: l.Key})
}

// withKey returns the configuration for an end whose key is on the given curve.
func (p *pki) withKey(r Role, curve elliptic.Curve) Config {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	cert, err := authority.Sign(p.leaf(r, "localhost").Cert, p.ca.Cert, key.Public(), p.ca.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.config("curve.pem", authority.Leaf{Cert: cert, Key: key})
}

// forced returns a snapshot of cfg, skipping the startup checks.
func (p *pki) forced(cfg Config, r Role) *snapshot {
	p.t.Helper()
	data, err := os.ReadFile(cfg.Cert)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := pemfile.Parse(data)
	if err != nil {
		p.t.Fatal(err)
	}
	cas, err := loadCAs(cfg, r)
	if err != nil {
		p.t.Fatal(err)
	}
	crls, _, _, err := loadCRLs(cfg, cas)
	if err != nil {
		p.t.Fatal(err)
	}
	return &snapshot{pair: b.Pair(b.Keys), cas: cas, pool: poolOf(cas), crls: crls}
}

// forcedClient returns a client for cfg, skipping the startup checks.
func (p *pki) forcedClient(cfg Config) *Client {
	p.t.Helper()
	good := p.client("good-client")
	good.ServerName = cfg.ServerName
	c := newClient(p.t, good)
	c.store.now.Store(p.forced(cfg, ClientRole))
	return c
}

func (p *pki) server() Config {
	return p.config("server.pem", p.leaf(ServerRole, "127.0.0.1", "localhost"))
}

func (p *pki) client(name string) Config { return p.config(name+".pem", p.leaf(ClientRole, name)) }

// revoke replaces ca.crl with a list of the given certificates.
func (p *pki) revoke(leaves ...authority.Leaf) {
	p.t.Helper()
	var entries []x509.RevocationListEntry
	for _, l := range leaves {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: l.Cert.SerialNumber, RevocationTime: p.since})
	}
	text, err := p.ca.Revocations(big.NewInt(time.Now().UnixNano()), entries, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("ca.crl", text)
}

// hookRecorder records hook calls.
type hookRecorder struct {
	rejected chan string
	reloaded chan event

	mu       sync.Mutex // guards warnings
	warnings []string
}

func newRecorder() *hookRecorder {
	return &hookRecorder{rejected: make(chan string, 1000), reloaded: make(chan event, 1000)}
}

func (e *hookRecorder) hooks() *Hooks {
	return &Hooks{
		Rejected: func(_ string, err error) { e.rejected <- err.Error() },
		Reloaded: func(what string, err error) { e.reloaded <- event{what, err} },
		Warning: func(text string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.warnings = append(e.warnings, text)
		},
	}
}

// testServer is a running server that sends its accepted conns to a channel.
type testServer struct {
	t        testing.TB
	server   *Server
	listener net.Listener
	addr     string
	rec      *hookRecorder
	conns    chan *Conn
}

// serve runs a server on loopback until the test ends.
func serve(t testing.TB, cfg Config) *testServer {
	t.Helper()
	h := &testServer{t: t, rec: newRecorder(), conns: make(chan *Conn, 1000)}
	cfg.Hooks = h.rec.hooks()
	server, err := NewServer(named(cfg, ServerRole))
	if err != nil {
		t.Fatalf("NewServer: %v", err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server, h.listener, h.addr = server, server.Listener(inner), inner.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := h.listener.Accept()
			if err != nil {
				return
			}
			h.conns <- c.(*Conn)
		}
	})
	t.Cleanup(func() {
		_ = h.listener.Close()
		wg.Wait()
		_ = server.Close()
		close(h.conns)
		for c := range h.conns {
			_ = c.Abort()
		}
	})
	return h
}

// accepted returns the next conn accepted by the server.
func (h *testServer) accepted() *Conn {
	h.t.Helper()
	c := receive(h.t, h.conns, "accepted conn")
	h.t.Cleanup(func() { _ = c.Abort() })
	return c
}

func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("not reached")
	}
}

func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := NewClient(named(cfg, ClientRole))
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return c
}

func (h *testServer) dial(c *Client) (*Conn, error) {
	conn, err := c.Dial(h.t.Context(), "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { _ = conn.(*Conn).Abort() })
	return conn.(*Conn), nil
}

// pair returns both ends of a new conn.
func (h *testServer) pair(c *Client) (client, server *Conn) {
	h.t.Helper()
	client, err := h.dial(c)
	if err != nil {
		h.t.Fatalf("Dial: %v", err)
	}
	return client, h.accepted()
}

// wantTalk checks that bytes pass in both directions.
func wantTalk(t testing.TB, a, b *Conn) {
	t.Helper()
	for _, way := range [][2]*Conn{{a, b}, {b, a}} {
		if _, err := way[0].Write([]byte("hello")); err != nil {
			t.Fatalf("Write: %v", err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(way[1], buf); err != nil || string(buf) != "hello" {
			t.Fatalf("Read = %q, %v, want %q", buf, err, "hello")
		}
	}
}

// endOf reads from a conn until a Read fails, and returns the error.
func endOf(c *Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	if err == nil {
		return io.EOF
	}
	return err
}

// isReset reports whether an error is anything but a clean end or a timeout.
func isReset(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (p *pki) cas() []*x509.Certificate { return []*x509.Certificate{p.ca.Cert} }

// list returns a revocation list with one serial number, signed by p's CA.
func (p *pki) list(serial int64) []byte { return p.listAt(serial, 1, time.Now()) }

// listAt is like list, with a given number and date.
func (p *pki) listAt(serial, number int64, made time.Time) []byte {
	p.t.Helper()
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: p.since}
	text, err := p.ca.Revocations(big.NewInt(number), []x509.RevocationListEntry{entry}, made)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}
