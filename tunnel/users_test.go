package tunnel

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"tunnels/internal/netx"
	"tunnels/internal/users"
)

// TestClientRequiresPassword checks that a client with ClientUsers requires a password
// on each of its addresses, and logs wrong ones.
func TestClientRequiresPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	if _, err := users.Add(file, "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		c.ClientUsers = file
		c.ClientAddrs = append(c.ClientAddrs, netx.Endpoint{Network: "unix", Address: filepath.Join(t.TempDir(), "s")})
	})
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if n := len(r.client.Addrs()); n != 2 || r.client.Addrs()[0] != r.client.Addr() {
		t.Fatalf("Addrs = %v, want two", r.client.Addrs())
	}
	dial := func(a net.Addr, password string) error {
		t.Helper()
		d, err := proxy.SOCKS5(a.Network(), a.String(), &proxy.Auth{User: "alice", Password: password}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Dial("tcp", target.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	}
	for _, a := range r.client.Addrs() {
		if err := dial(a, "secret"); err != nil {
			t.Errorf("Dial over %v = %v", a, err)
		}
		if err := dial(a, "wrong"); err == nil {
			t.Errorf("Dial over %v with the wrong password = nil", a)
		}
	}
	r.clientLog.Wait(t, "client", "[warn]", "no request from 127.0.0.1:", "user or password is wrong")
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Reload(); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("Reload of an invalid file = %v, want an error that names the line", err)
	}

	// Close must not wait for throttled logins, which take eight seconds by now.
	failing := make(chan error, 6)
	for range 6 {
		go func() { failing <- dial(r.client.Addr(), "wrong") }()
	}
	<-failing
	began := time.Now()
	r.client.Close()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("Close took %v", d)
	}
	for range 5 {
		<-failing
	}
}

// TestClientRefusesToStart checks that a missing users file and a missing address are errors.
func TestClientRefusesToStart(t *testing.T) {
	cfg := Config{EagerNet: "tcp", ServerAddr: "127.0.0.1:1", ClientUsers: filepath.Join(t.TempDir(), "none")}
	if _, err := NewClient(cfg); err == nil || !strings.Contains(err.Error(), cfg.ClientUsers) {
		t.Errorf("NewClient without a users file = %v, want an error that names the file", err)
	}
	cfg.ClientUsers = ""
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Listen(); err == nil {
		t.Error("Listen on no address = nil")
	}
}
