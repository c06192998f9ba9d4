package config

import (
	"errors"
	"strings"
	"testing"
)

// TestEnvironmentOfOthers: variables set by an orchestrator for a service called
// tunnels are ignored; any other unknown variable causes a warning.
func TestEnvironmentOfOthers(t *testing.T) {
	for _, kv := range []string{
		"TUNNELS_SERVICE_HOST=10.96.0.7", "TUNNELS_SERVICE_PORT=443", "TUNNELS_SERVICE_PORT_TLS=443", "TUNNELS_PORT=tcp://10.96.0.7:443",
		"TUNNELS_PORT_443_TCP=tcp://10.96.0.7:443", "TUNNELS_PORT_443_TCP_PROTO=tcp", "TUNNELS_PORT_53_UDP_PORT=53", "TUNNELS_PORT_443_TCP_ADDR=10.96.0.7",
		"TUNNELS_EXIT_SERVICE_HOST=10.96.0.7", "TUNNELS_EXIT_SERVICE_PORT_HTTPS_ALT=443", "TUNNELS_EXIT_PORT=tcp://10.96.0.7:443", "TUNNELS_EXIT_PORT_443_TCP=x",
		"TUNNELS_PASSWORD=hush", "TUNNELS_NONSENSE=", "TUNNEL_X=1", "tunnels_x=1",
	} {
		if c := mustParse(t, try, kv); len(c.Warnings) != 0 {
			t.Errorf("with %s it warns %q", kv, c.Warnings)
		}
	}
	for kv, want := range map[string]string{
		"TUNNELS_SERVER_ADR=:443":  "environment variable TUNNELS_SERVER_ADR is ignored: there is no such option; did you mean TUNNELS_SERVER_ADDR?",
		"TUNNELS_TLS_CERT=x":       "did you mean TUNNELS_TLS_SERVER_CERT or TUNNELS_TLS_CLIENT_CERT?",
		"TUNNELS_FROBNICATE=":      "",
		"TUNNELS_FROBNICATE=s3cr3": "environment variable TUNNELS_FROBNICATE is ignored: there is no such option",
		"TUNNELS_=x":               "environment variable TUNNELS_ is ignored",
	} {
		c := mustParse(t, try, kv)
		got := strings.Join(c.Warnings, "\n")
		if !strings.Contains(got, want) || (got == "") != (want == "") || strings.Contains(got, "s3cr3") {
			t.Errorf("with %s it warns %q, want %q", kv, got, want)
		}
	}
	// An unknown variable may explain a missing option, but errors.Is must still
	// match.
	if _, err := Parse(nil, []string{"TUNNELS_SERVR=1"}); !errors.Is(err, ErrNoRole) || !strings.Contains(err.Error(), "did you mean TUNNELS_SERVER?") {
		t.Errorf("Parse = %v, want ErrNoRole with a suggestion", err)
	}
}
