package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/rules"
	"tunnels/tls"
	"tunnels/tls/ca"
)

// authority issues certificates in a temporary directory.
type authority struct {
	t   *testing.T
	dir string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t, t.TempDir()}
	if _, err := ca.Init(a.dir, []string{"server.test"}); err != nil {
		t.Fatal(err)
	}
	return a
}

// clientConfig returns the TLS configuration for a client whose certificate has the
// given name.
func (a *authority) clientConfig(name string) tls.Config {
	a.t.Helper()
	if name != "client" { // newAuthority already issued that one
		if _, err := ca.IssueClient(a.dir, name); err != nil {
			a.t.Fatal(err)
		}
	}
	file := filepath.Join(a.dir, name+".pem")
	return tls.Config{Cert: file, CA: file, ServerName: "server.test"}
}

// apply makes cfg use the certificates of the server and of the client "client".
func (a *authority) apply(cfg *Config) {
	path := func(file string) string { return filepath.Join(a.dir, file) }
	cfg.ServerTLS = tls.Config{Cert: path("server.pem"), Key: path("server.key"), CA: path("ca.pem")}
	cfg.ClientTLS = a.clientConfig("client")
}

// addClient returns a copy of r with a different client of the same server.
func (r *rig) addClient(t *testing.T, end tls.Config) *rig {
	t.Helper()
	cfg := r.cfg
	cfg.ClientTLS = end
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := c.Serve(); err != nil {
			t.Errorf("client: %v", err)
		}
	})
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	more := *r
	more.client = c
	return &more
}

// reaches reports whether target, a host:port, can be reached. If not, it checks that
// the SOCKS code is 2.
func (r *rig) reaches(t *testing.T, target string) bool {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial("tcp", target)
	if err == nil {
		c.Close()
		return true
	}
	if !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("target %s: %v, want SOCKS code 2", target, err)
	}
	return false
}

// listening starts a target and returns its address and port.
func listening(t *testing.T) (address, port string) {
	t.Helper()
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	address = strings.TrimPrefix(site.URL, "http://")
	_, port, _ = net.SplitHostPort(address)
	return address, port
}

// TestClientRules checks that a client reaches only targets its rules allow, however
// they are spelled, over every network that uses certificates.
func TestClientRules(t *testing.T) {
	one, onePort := listening(t)
	two, twoPort := listening(t)
	file := rulesFile(t, fmt.Sprintf(`
[client]
only  = 127.0.0.1:%s, [::1]:%s
[phone]
allow = loopback
deny  = loopback:%s
[*.family]
only  = 192.0.2.0/24
`, onePort, onePort, onePort))
	for _, w := range []struct{ eager, remux string }{{"remux", "tls"}, {"tls", ""}} {
		ca := newAuthority(t)
		r := start(t, w.eager, w.remux, "tcp", func(c *Config) {
			ca.apply(c)
			c.Allow, c.Rules, c.EagerMode = nil, file, eagersocks.Off
		})
		clients := map[string]*rig{"client": r}
		for _, name := range []string{"phone", "other", "x.family"} {
			clients[name] = r.addClient(t, ca.clientConfig(name))
		}
		refused := 0
		for _, tt := range []struct {
			client, target string
			want           bool
		}{
			{"client", one, true},
			{"client", "[::ffff:127.0.0.1]:" + onePort, true},
			{"client", two, false},
			{"client", "localhost:" + onePort, true}, // allowed by its addresses
			{"client", "localhost:" + twoPort, false},
			{"client", "127.0.0.2:" + onePort, false},
			{"client", "169.254.169.254:80", false},
			{"phone", one, false},
			{"phone", "[::ffff:127.0.0.1]:" + onePort, false},
			{"phone", "localhost:" + onePort, false},
			{"phone", two, true},
			{"phone", "localhost:" + twoPort, true},
			{"phone", "10.255.255.1:80", false},
			{"other", one, false},
			{"other", "localhost:" + twoPort, false},
			{"x.family", one, false},
			{"x.family", "localhost:" + onePort, false},
		} {
			if got := clients[tt.client].reaches(t, tt.target); got != tt.want {
				t.Errorf("%s: client %s reached %s: %v, want %v", w.eager, tt.client, tt.target, got, tt.want)
			}
			if tt.want {
				continue
			}
			refused++
			wantOneRefusal(t, r, tt.client, tt.target)
		}
		if got := r.server.Refused(); got[admission.RefusedTarget] != uint64(refused) {
			t.Errorf("counted %v, want %d targets", got, refused)
		}
	}
}

// wantOneRefusal checks that the server's log has exactly one line refusing target to
// the client.
func wantOneRefusal(t *testing.T, r *rig, client, target string) {
	t.Helper()
	target = strings.Replace(target, "[::ffff:127.0.0.1]", "127.0.0.1", 1)
	host, port, _ := net.SplitHostPort(target)
	const refused = "[warn] [main] refused client "
	lines := r.serverLog.With(refused + client + ": target " + target)
	for _, to := range []string{" (127.0.0.1) port ", " (::1) port "} {
		lines = append(lines, r.serverLog.With(refused+client+": target "+host+to+port)...)
	}
	if len(lines) != 1 {
		t.Errorf("%d lines refuse %s to client %s, want 1: %q", len(lines), target, client, lines)
	}
	if l := r.serverLog.With("not allowed"); len(l) != 0 {
		t.Errorf("extra lines about refusing %s to client %s: %q", target, client, l)
	}
}

// TestListedTargets checks that targets refused by default can be reached if Allow
// lists them and Deny does not.
func TestListedTargets(t *testing.T) {
	_, port := listening(t)
	for _, tt := range []struct {
		allow, deny string
		want        map[string]bool
	}{
		{"", "", map[string]bool{"127.0.0.1": false, "localhost": false, "::ffff:127.0.0.1": false, "0.0.0.0": false}},
		{"loopback", "", map[string]bool{"127.0.0.1": true, "localhost": true, "::ffff:127.0.0.1": true, "0.0.0.0": false}},
		{"localhost", "", map[string]bool{"127.0.0.1": false, "LocalHost": true}},
		{"127.0.0.1:" + port, "", map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false}},
		{"all", "loopback", map[string]bool{"127.0.0.1": false, "localhost": false, "::ffff:127.0.0.1": false}},
		{"all", "localhost", map[string]bool{"127.0.0.1": true, "localhost": false, "LOCALHOST.": false}},
	} {
		r := start(t, "remux", "tls", "tcp", func(c *Config) {
			c.EagerMode = eagersocks.Off
			c.Allow, c.Deny = listOf(tt.allow), listOf(tt.deny)
		})
		for host, want := range tt.want {
			if got := r.reaches(t, net.JoinHostPort(host, port)); got != want {
				t.Errorf("allow %q, deny %q: %s was reached: %v, want %v", tt.allow, tt.deny, host, got, want)
			}
		}
	}
}

// TestEagerRefusal checks that an eager request to a refused target ends in a reset, that the
// next one gets code 2, and that the log has one line for both.
func TestEagerRefusal(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", func(c *Config) { c.Allow = nil })
	c := r.dial(t, "127.0.0.1:1")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("first try: Read = %v, want connection reset", err)
	}
	c.Close()
	if r.reaches(t, "127.0.0.1:1") {
		t.Error("second try: connected")
	}
	if got := r.server.Refused()[admission.RefusedTarget]; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
	const line = "[warn] [main] refused client client: target 127.0.0.1:1 is loopback"
	wantOneRefusal(t, r, "client", "127.0.0.1:1")
	if n := len(r.serverLog.With("[sock]")); n != 0 {
		t.Errorf("%d lines about socks, want none because nothing was dialed", n)
	}
	r.clientLog.Wait(t, "client", "[warn] [sock] - 127.0.0.1:1 = 0 ", " target 127.0.0.1:1 is loopback")
	r.server.Close()
	r.servJ.Close()
	if got := r.serverLog.With(line); len(got) != 2 || !strings.HasSuffix(got[1], "(once more)") {
		t.Errorf("the log has %q, want the line and its repeat count", got)
	}
}

// TestLimitsRefuse checks that a session beyond the limit gets code 2, with or without
// TLS.
func TestLimitsRefuse(t *testing.T) {
	target, _ := listening(t)
	r := start(t, "remux", "tcp", "tcp", func(c *Config) {
		c.EagerMode = eagersocks.Off
		c.Limits.Sessions = rules.Limit{Max: 1, Rule: "-server.client.sess.max.cnt"}
	})
	first := r.dial(t, target)
	if r.reaches(t, target) {
		t.Error("a second session was opened, want only one")
	}
	rule := "refused client without a certificate: target " + target + ": -server.client.sess.max.cnt: the client has 1 sessions"
	if n := len(r.serverLog.With(rule)); n != 1 {
		t.Errorf("%d lines about the refusal, want 1", n)
	}
	if got := r.server.Refused(); got[admission.RefusedSessions] != 1 {
		t.Errorf("counted %v, want 1 refused session", got)
	}
	first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !r.reaches(t, target) { // the server may not have noticed yet that the first session has ended
		if ctx.Err() != nil {
			t.Fatal("no session after the first has ended")
		}
	}
}

// TestClientRate checks that all bytes arrive at the limited rate in both directions,
// with a half-close.
func TestClientRate(t *testing.T) {
	const perSecond, size = 4 << 20, 2 << 20
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var target sync.WaitGroup
	target.Go(func() { // replies after reading everything
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(c)
			c.Write(bytes.ToUpper(all))
			c.Close()
		}
	})
	defer target.Wait()
	defer ln.Close()
	sent := bytes.Repeat([]byte("rate"), size/4)
	for _, w := range ways[2:6] {
		r := start(t, w.eager, w.remux, w.server, func(c *Config) { c.Limits.Rate.Max = perSecond })
		since := time.Now()
		c := r.dial(t, ln.Addr().String())
		defer c.Close()
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, bytes.ToUpper(sent)) {
			t.Errorf("%s: reply of %d bytes, %v, want %d", w.eager, len(got), err, size)
		}
		least := time.Duration(2 * (size - perSecond/10) * int(time.Second) / perSecond)
		if took := time.Since(since); took < least || took > 10*least {
			t.Errorf("%s: request and reply took %v, want %v or slightly more", w.eager, took, least)
		}
	}
}

// TestRateEndsAtOnce checks that the target is reset immediately when the application
// resets its connection or the server stops, even if both directions are waiting for the
// rate limit.
func TestRateEndsAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, end := range map[string]func(*rig, *net.TCPConn){
		"reset by the application": func(_ *rig, app *net.TCPConn) { app.SetLinger(0); app.Close() },
		"server stopped":           func(r *rig, _ *net.TCPConn) { r.server.Close() },
	} {
		for _, w := range ways[2:6] {
			r := start(t, w.eager, w.remux, w.server, func(c *Config) { c.Limits.Rate.Max = 16 << 10 })
			app := r.dial(t, ln.Addr().String())
			defer app.Close()
			target, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			const much = 4 << 20 // takes minutes at this rate
			var wg sync.WaitGroup
			var writeErr error
			wg.Go(func() { app.Write(make([]byte, much)) })
			wg.Go(func() { _, writeErr = target.Write(make([]byte, much)) })
			for _, c := range []net.Conn{app, target} {
				if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			since := time.Now()
			end(r, app)
			n, readErr := io.Copy(io.Discard, target)
			wg.Wait()
			// The kernel reports the reset only once, to the first system call.
			if err := errors.Join(readErr, writeErr); !errors.Is(err, syscall.ECONNRESET) || n >= much {
				t.Errorf("%s, %s: the target read %d bytes, then %v, want a reset", name, w.eager, n, err)
			}
			if took := time.Since(since); took > 5*time.Second {
				t.Errorf("%s, %s: the target was reset after %v", name, w.eager, took)
			}
		}
	}
}

// TestClientDatagrams checks that the client's session limit, rate and rules apply to
// an association as to any other session.
func TestClientDatagrams(t *testing.T) {
	target := echo(t, "127.0.0.1").LocalAddr().String()
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		c.Allow, c.Limits.Rate.Max, c.Limits.Sessions.Max, c.EagerMode = nil, 16<<10, 1, eagersocks.Off
		c.Rules = rulesFile(t, "[client]\nonly = "+target+"\n")
	})
	s := r.associate(t)
	for range 3 {
		s.ask(t, target, "let me in")
	}
	if err := s.send("192.0.2.1:53", []byte("out")); err != nil {
		t.Fatal(err)
	}
	r.serverLog.Wait(t, "server", "[warn] [main] refused client client: target 192.0.2.1:53: not in the only list of [client]")
	if r.reaches(t, target) {
		t.Error("a second session was opened in addition to the association, want only one")
	}
	s.Close()
}
