package typo

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"client", "server", "server.addr", "server.net", "client.addr", "remux.net", "tls.server.cert", "tls.client.cert", "sla.log.path"}
	for in, want := range map[string]string{
		"server.adr": "server.addr", "Server.Addr": "server.addr", "sever.net": "server.net", "sevrer": "server",
		"remux.nte": "remux.net", "clientaddr": "client.addr", "clinet": "client", "tls.cert": "tls.server.cert or tls.client.cert",
		"sla.path": "sla.log.path", "client.port": "", "x": "", "": "", strings.Repeat("a", 10_000): "", "frobnicate": "", "cert": "",
	} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", in, got, want)
		}
	}
	if got := Nearest("tls.cert", []string{"tls.aaaaa.cert", "tls.bbbbb.cert", "tls.ccccc.cert", "tls.ddddd.cert"}); got != "" {
		t.Errorf("Nearest = %q, want no suggestion from too many candidates", got)
	}
	if got := Nearest("ab", []string{"c", "yz"}); got != "" {
		t.Errorf("Nearest = %q, want no suggestion without a shared letter", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "acb", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
