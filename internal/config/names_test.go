package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNames checks that the names config provides for messages are option names.
func TestNames(t *testing.T) {
	c := mustParse(t, try)
	n := &c.Tunnel
	names := fmt.Sprintf("%q %q %q %q", n.Names, n.ServerTLS.Names, n.ClientTLS.Names, c.SLA.Names)
	all := []string{n.Remux.ConnMaxName, n.Allow.Name, n.Deny.Name, n.DNS.Name, n.SessMax.Rule, n.Limits.Sessions.Rule, n.Limits.Opens.Rule, n.Limits.Rate.Rule}
	all = append(all, regexp.MustCompile(`-[a-z]+(\.[a-z]+)+`).FindAllString(names, -1)...)
	if len(all) < 30 {
		t.Errorf("config sets %d names, want 30 or more: %q", len(all), all)
	}
	for _, name := range all {
		if !slices.Contains(c.names(), strings.TrimPrefix(name, "-")) {
			t.Errorf("%q is not an option", name)
		}
	}
	if strings.Contains(names, `""`) {
		t.Errorf("a setting has no name: %s", names)
	}
}
