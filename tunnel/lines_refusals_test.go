package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/policy"
	"tunnels/internal/rules"
	"tunnels/sla"
)

// linesWith are the lines of the log that hold text, without their time.
func linesWith(l *logBuffer, text string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line[len("2020.09.01 17:15:07 "):]))
		}
	}
	return found
}

// secs matches how long something lasted, which is never the same.
var secs = regexp.MustCompile(` sec=\d+\.\d+`)

func wantLines(t *testing.T, l *logBuffer, want ...string) {
	t.Helper()
	got := linesWith(l, "")
	for i, line := range got {
		got[i] = secs.ReplaceAllString(line, "")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func remembered(r *refusals) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(len(r.seen), r.order.Len())
}

// TestRefusalLines: each refusal is a line, a flood of the same is few, and none
// goes uncounted.
func TestRefusalLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		r := newRefusals(log.logger(t), "refused client")
		flood := func(n int) {
			for range n {
				r.refused(admission.RefusedTarget, "laptop", errors.New("target a.test:80: why"))
			}
		}
		const line = "[warn] [main] refused client laptop: target a.test:80: why"
		flood(1)
		wantLines(t, log, line)
		flood(999)
		wantLines(t, log, line)
		r.refused(admission.RefusedOpens, "", errors.New("target a.test:80: why"))
		r.refused(admission.RefusedTarget, "laptop", errors.New("target a.test:80: other"))
		all := []string{line, "[warn] [main] refused client without a certificate: target a.test:80: why", "[warn] [main] refused client laptop: target a.test:80: other"}
		wantLines(t, log, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		all = append(all, line+" (999 times more)")
		wantLines(t, log, all...)
		flood(3)
		wantLines(t, log, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		all = append(all, line+" (3 times more)")
		wantLines(t, log, all...)
		time.Sleep(sameEvery)
		synctest.Wait()
		if n := remembered(r); n != 0 || len(r.clients) != 0 || r.timer != nil {
			t.Errorf("%d refusals are remembered after all is quiet", n)
		}
		flood(2)
		r.close()
		wantLines(t, log, append(all, line, line+" (once more)")...)
	})
}

// TestRefusalsOfOneClient: who tries many targets fills neither the log nor the
// memory, and hides nobody else.
func TestRefusalsOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		r := newRefusals(log.logger(t), "refused client")
		defer r.close()
		for i := range 10_000 {
			r.refused(admission.RefusedTarget, "scanner", fmt.Errorf("target %d: why", i))
		}
		r.refused(admission.RefusedTarget, "laptop", errors.New("target a.test:80: why"))
		if n := len(linesWith(log, "client scanner")); n != linesMax {
			t.Errorf("%d lines, want %d", n, linesMax)
		}
		if n := len(linesWith(log, "client laptop")); n != 1 {
			t.Errorf("%d lines about another client, want 1", n)
		}
		if n := remembered(r); n != linesMax+2 {
			t.Errorf("%d are remembered, want %d", n, linesMax+2)
		}
		time.Sleep(sameEvery)
		synctest.Wait()
		if n := len(linesWith(log, "refused client scanner: 9968 more requests, for other targets or reasons")); n != 1 {
			t.Errorf("%d lines sum up, want 1: %s", n, log)
		}
	})
}

// TestAttempt: the sock's lines come in pairs, and not at all for what is refused.
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
		{"refused before it was resolved", nil, code.NotAllowed, []string{refusal}},
		{"not resolved", nil, code.Timeout, []string{opened, closed}},
		{"not connected", []netip.AddrPort{bad, good, good}, code.Timeout, []string{opened, closed}},
		{"one refused, one not connected", []netip.AddrPort{good, bad}, code.NotAllowed, []string{opened, refusal, "[info] [sock] - a.test:80 = 0 client=laptop up=0 down=0 not allowed by the exit's policy"}},
	}
	for _, tt := range tests {
		log := new(logBuffer)
		l := log.logger(t)
		r := newRefusals(l, "refused client")
		c := admission.New(admission.Config{Policy: new(policy.Exit), SessMax: rules.Limit{Max: 1}, Refused: r.refused})
		g, err := c.Admit("laptop", "a.test:80")
		if err != nil {
			t.Fatal(err)
		}
		a := attempt{Guest: g, log: l, target: eagersocks.Address{Host: "a.test", Port: 80}}
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
		if err := a.AllowAddr(good, "a.test"); err != nil { // of a loser of the race
			t.Errorf("%s: AllowAddr after the end = %v", tt.name, err)
		}
		wantLines(t, log, tt.want...)
		if n := l.Count(sla.Sock); n != 0 {
			t.Errorf("%s: %d socks still counted", tt.name, n)
		}
		g.Leave()
		r.close()
	}
}
