package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tunnels/tls/ca"
)

// TestRoleInferred: the role may be omitted if only one is possible.
func TestRoleInferred(t *testing.T) {
	ca := " -tls.client.ca ca"
	for _, tt := range []struct {
		line           string
		server, client bool
	}{
		{"-server.addr :443 -tls.server.cert s -tls.server.key k" + ca, true, false},
		{"-server.addr :443 -tls.server.cert s" + ca, true, false},
		{"-server.addr a:443 -tls.client.cert c -tls.client.key k" + ca, false, true},
		{"-client.addr 127.0.0.1:1 -server.addr a:443 -tls.client.cert c", false, true},
		{"-tls.client.cert c" + ca, false, false},  // no server to connect to
		{"-server.addr :443" + ca, false, false},   // valid for either role
		{"-server.addr 127.0.0.1:1", false, false}, // no certificates
		{"-server.addr a:443 -tls.server.cert s -tls.client.cert c" + ca, false, false},
		{"-server=false -server.addr :443 -tls.server.cert s" + ca, false, false}, // the role is switched off
	} {
		c, err := Parse(args(tt.line), nil)
		switch {
		case !tt.server && !tt.client:
			if !errors.Is(err, ErrNoRole) {
				t.Errorf("Parse(%s) = %v, want ErrNoRole", tt.line, err)
			}
		case err != nil:
			t.Errorf("Parse(%s) = %v", tt.line, err)
		case c.Server != tt.server || c.Client != tt.client:
			t.Errorf("Parse(%s): server %v, client %v, want %v, %v", tt.line, c.Server, c.Client, tt.server, tt.client)
		}
	}
}

// TestClientCAInferred: if the client's certificate file contains the CA, it is used.
func TestClientCAInferred(t *testing.T) {
	dir := t.TempDir()
	if _, err := ca.Init(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	all, alone := filepath.Join(dir, "client.pem"), filepath.Join(dir, "server.pem")
	const line = "-client -server.addr localhost:443 -tls.client.cert "
	if c := mustParse(t, line+all); c.Tunnel.ClientTLS.CA != all {
		t.Errorf("CA = %q, want %q", c.Tunnel.ClientTLS.CA, all)
	}
	if c := mustParse(t, line+all+" -tls.client.ca other"); c.Tunnel.ClientTLS.CA != "other" {
		t.Errorf("CA = %q, want the one given", c.Tunnel.ClientTLS.CA)
	}
	if c := mustParse(t, "-server -client -tls.server.cert s -tls.client.cert "+all); c.Tunnel.ServerTLS.CA != all {
		t.Errorf("the server's CA = %q, want %q", c.Tunnel.ServerTLS.CA, all)
	}
	_, err := Parse(args(line+alone), nil)
	if want := "-tls.client.ca is missing: " + alone + " holds no CA; `tunnels certs client NAME`"; err == nil || err.Error()[:len(want)] != want {
		t.Errorf("Parse = %v, want %s", err, want)
	}
	gone := filepath.Join(dir, "gone.pem")
	if _, err := os.Stat(gone); err == nil {
		t.Fatalf("%s exists", gone)
	}
	mustParse(t, line+gone) // a missing file is reported by the code that reads it
}
