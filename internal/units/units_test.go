package units_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"tunnels/internal/units"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ kind, binary, home, want string }{
		{"server", "/usr/local/bin/tunnels", "", "\nExecStart=/usr/local/bin/tunnels -config /etc/tunnels/tunnels.conf\n"},
		{"server", "/opt/x y/100%/$a", "", "\nExecStart=\"/opt/x y/100%%/$$a\" -config /etc/tunnels/tunnels.conf\n"},
		{"client", `/opt/"\`, "", "\nExecStart=\"/opt/\\\"\\\\\" -config %E/tunnels/tunnels.conf\n"},
		{"launchd", "/opt/a&b", "/Users/<me>", "<string>/opt/a&amp;b</string>\n"},
		{"launchd", "/opt/a", "/Users/<me>", "<string>/Users/&lt;me&gt;/.config/tunnels/tunnels.conf</string>\n"},
	} {
		got, ok := units.Text(tt.kind, tt.binary, tt.home)
		if !ok || !strings.Contains(got, tt.want) {
			t.Errorf("Text(%q, %q, %q) = %q, %v, want it to contain %q", tt.kind, tt.binary, tt.home, got, ok, tt.want)
		}
	}
	if text, ok := units.Text("windows", "", ""); ok {
		t.Errorf("Text of an unknown kind = %q", text)
	}
}

// TestNoRestartAfterConfigError checks that a configuration error (exit code 2) causes
// no restart, and that no command runs before the main process, because only the main
// process's exit code counts.
func TestNoRestartAfterConfigError(t *testing.T) {
	for _, kind := range []string{"server", "client"} {
		text, _ := units.Text(kind, "/usr/local/bin/tunnels", "")
		if !strings.Contains(text, "\nRestartPreventExitStatus=2\n") || strings.Contains(text, "ExecStartPre") {
			t.Errorf("the %s's unit would restart forever:\n%s", kind, text)
		}
	}
}

func TestLaunchdIsXML(t *testing.T) {
	text, _ := units.Text("launchd", "/opt/a&b", "/Users/<me>")
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Error(err)
			}
			return
		}
	}
}
