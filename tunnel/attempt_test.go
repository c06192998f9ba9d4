package tunnel

import (
	"net/netip"
	"testing"

	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/events"
	"tunnels/internal/loglines"
	"tunnels/internal/loglines/logtest"
	"tunnels/internal/policy"
	"tunnels/internal/rules"
	"tunnels/sla"
)

// TestAttempt checks that each sock opening line has a closing one, and that a refused
// request logs neither.
func TestAttempt(t *testing.T) {
	good, bad := netip.MustParseAddrPort("1.1.1.1:80"), netip.MustParseAddrPort("10.0.0.1:80")
	refusal := "[warn] [main] refused client laptop: no"
	const opened, closed = "[info] [sock] + a.test:80 = 1 client=laptop", "[info] [sock] - a.test:80 = 0 client=laptop up=0 down=0 timed out"
	tests := []struct {
		name  string
		asked []netip.AddrPort
		why   code.Code
		want  []string
	}{
		{"refused", []netip.AddrPort{bad}, code.NotAllowed, []string{refusal}},
		{"refused before resolving", nil, code.NotAllowed, []string{refusal}},
		{"not resolved", nil, code.Timeout, []string{opened, closed}},
		{"not connected", []netip.AddrPort{bad, good, good}, code.Timeout, []string{opened, closed}},
		{"one refused, one not connected", []netip.AddrPort{good, bad}, code.NotAllowed, []string{opened, refusal, "[info] [sock] - a.test:80 = 0 client=laptop up=0 down=0 not allowed by the exit's policy"}},
	}
	for _, tt := range tests {
		log := new(logtest.Buffer)
		l := log.Logger(t)
		j := loglines.New(l)
		s := &Server{way: way{mux: true}, events: events.Join(j.Events())}
		c := admission.New(admission.Config{Policy: new(policy.Exit), SessMax: rules.Limit{Max: 1}, Refused: s.events.RequestRefused})
		g, err := c.Admit("laptop", "a.test:80")
		if err != nil {
			t.Fatal(err)
		}
		a := attempt{Lease: g, s: s, r: s.accept(g, "a.test:80")}
		for _, addr := range tt.asked {
			if err := a.AllowAddr(addr, "a.test"); (err == nil) != (addr == good) {
				t.Errorf("%s: AllowAddr(%s) = %v", tt.name, addr, err)
			}
		}
		text := ""
		if tt.why == code.NotAllowed {
			text = "no"
		}
		a.failed(&code.Error{Code: tt.why, Text: text})
		if err := a.AllowAddr(good, "a.test"); err != nil { // a dial that lost the race may still call it
			t.Errorf("%s: AllowAddr after the end = %v", tt.name, err)
		}
		log.Want(t, tt.want...)
		if n := l.Count(sla.Sock); n != 0 {
			t.Errorf("%s: %d socks still counted", tt.name, n)
		}
		g.Leave()
		j.Close()
	}
}
