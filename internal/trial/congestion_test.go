package trial

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/netx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCongestionStep checks that only a client far from its server is told what downloads
// depend on.
func TestCongestionStep(t *testing.T) {
	system, err := netx.ParseCongestion("system")
	if err != nil {
		t.Fatal(err)
	}
	const long = 20 * time.Millisecond
	for name, tt := range map[string]struct {
		use  netx.CongestionUse
		want bool
	}{
		"near":             {netx.CongestionUse{RTT: time.Millisecond, System: "cubic", Used: "cubic"}, false},
		"far":              {netx.CongestionUse{RTT: long, System: "cubic", Used: "bbr"}, true},
		"far, the default": {netx.CongestionUse{RTT: long, System: "bbr", Used: "bbr"}, true},
		"far, not wanted":  {netx.CongestionUse{Choice: system, RTT: long, System: "cubic", Used: "cubic"}, false},
	} {
		s := congestionStep(tt.use)
		if got := strings.Contains(s.Text, "downloads depend on the server's kernel"); got != tt.want || s.Failed || s.Took != tt.use.RTT || !strings.HasPrefix(s.Text, tt.use.Used) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestUsableCongestion(t *testing.T) {
	for _, tt := range []struct {
		network, address string
		want             bool
	}{
		{"tcp", ":443", runtime.GOOS == "linux"},
		{"tcp6", "[::]:443", runtime.GOOS == "linux"},
		{"tcp", "127.0.0.1:443", false},
		{"unix", "/run/tunnels.sock", false},
	} {
		if s, ok := usableCongestion(netx.Congestion{}, tt.network, tt.address); ok != tt.want || ok && s.Text == "" {
			t.Errorf("for a server on %s %s: %+v, %v", tt.network, tt.address, s, ok)
		}
	}
}
