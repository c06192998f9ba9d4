package config

import (
	"slices"
	"strings"
	"testing"
)

// TestServers: a client may have several servers, each checked like a single one.
func TestServers(t *testing.T) {
	const client = "-client -tls.client.cert c -tls.client.ca c "
	tests := []struct {
		line string
		want []string
	}{
		{client + "-server.addr a:443", []string{"a:443"}},
		{client + "-server.addr a:443,b:443,[::1]:443", []string{"a:443", "b:443", "[::1]:443"}},
		{client + "-server.net unix -tls.server.name x -server.addr /a,/b", []string{"/a", "/b"}},
		{"-server -tls.server.cert c -tls.server.ca c -server.addr :443", []string{":443"}},
		{"-server -tls.server.cert c -tls.server.ca c -server.net unix -server.addr /a,b", []string{"/a,b"}},
	}
	for _, tt := range tests {
		c := mustParse(t, tt.line)
		if got := c.ServerAddrs(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: servers %q, want %q", tt.line, got, tt.want)
		}
	}
	c := mustParse(t, "-client", "TUNNELS_SERVER_ADDR=a:443, b:443", "TUNNELS_TLS_CLIENT_CERT=c", "TUNNELS_TLS_CLIENT_CA=c")
	if got := c.ServerAddrs(); !slices.Equal(got, []string{"a:443", "b:443"}) {
		t.Errorf("with a space after the comma: servers %q", got)
	}
}

// TestServersWarnings: each server reached without TLS causes its own warning, and
// setting a policy for a single server causes one because it has no effect.
func TestServersWarnings(t *testing.T) {
	c := mustParse(t, "-client -insecure -remux.net tcp -server.addr 127.0.0.1:1,a:443,b:443")
	var named []string
	for _, w := range c.Warnings {
		for _, a := range []string{"127.0.0.1:1", "a:443", "b:443"} {
			if strings.Contains(w, "client and "+a+":") {
				named = append(named, a)
			}
		}
	}
	if !slices.Equal(named, []string{"a:443", "b:443"}) {
		t.Errorf("warnings about %q in %q, want a and b", named, c.Warnings)
	}
	c = mustParse(t, try+" -server.policy spread")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "-server.policy spread has no effect") {
		t.Errorf("warnings %q, want one that the policy has no effect", c.Warnings)
	}
}
