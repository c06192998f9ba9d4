package eagersocks

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
)

var (
	aName = &Request{Command: Connect, Target: Address{Host: "example.com", Port: 443}}
	anIP  = &Request{Command: Connect, Target: Address{Host: "192.0.2.1", Port: 443}}
)

func TestEagerByMode(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for _, tt := range []struct {
		name      string
		mode      Mode
		reachable func() bool
		req       *Request
		want      bool
	}{
		{"on, name", On, nil, aName, true},
		{"on, address", On, nil, anIP, true},
		{"off, name", Off, nil, aName, false},
		{"auto, name", Auto, nil, aName, true},
		{"auto, address", Auto, nil, anIP, false},
		{"on, reachable", On, yes, aName, true},
		{"on, unreachable", On, no, aName, false},
		{"udp", On, nil, &Request{Command: UDP, Target: aName.Target}, false},
	} {
		p := &Eagerness{Mode: tt.mode, Reachable: tt.reachable}
		if got := p.Eager(tt.req); got != tt.want {
			t.Errorf("%s: Eager = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFailureIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Eagerness
		want := func(what string, eager bool) {
			t.Helper()
			if got := p.Eager(aName); got != eager {
				t.Errorf("%s: Eager = %v, want %v", what, got, eager)
			}
		}
		want("at first", true)
		p.Failed(Address{Host: "EXAMPLE.com", Port: 443}, code.Refused, "")
		want("after a failure", false)
		if !p.Eager(&Request{Command: Connect, Target: Address{Host: "example.com", Port: 80}}) {
			t.Error("another port: Eager = false, want true")
		}
		time.Sleep(20 * time.Second)
		p.Failed(aName.Target, code.Timeout, "")
		time.Sleep(30*time.Second - 1)
		want("just under 30 s after the last failure", false)
		time.Sleep(time.Nanosecond)
		want("30 s after the last failure", true)

		p.Failed(aName.Target, code.Refused, "")
		p.Succeeded(Address{Host: "Example.Com", Port: 443})
		want("after a success", true)
	})
}

func TestCodesNotAboutTheTarget(t *testing.T) {
	for c := range code.Code(0x20) {
		var p Eagerness
		p.Failed(aName.Target, c, "")
		want := c >= code.General && c <= code.AddressUnsupported || c == code.NotAuthorised || c == code.Overload
		if got := !p.Eager(aName); got != want {
			t.Errorf("remembered after %v = %v, want %v", c, got, want)
		}
	}
}

func TestOldestFailureIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := func(i int) Address { return Address{Host: fmt.Sprintf("host%d", i), Port: 1} }
		eager := func(p *Eagerness, i int) bool { return p.Eager(&Request{Command: Connect, Target: target(i)}) }
		var p Eagerness
		for i := range failures {
			p.Failed(target(i), code.Refused, "")
		}
		p.Failed(target(0), code.Refused, "") // again, so no longer the oldest
		p.Failed(target(failures), code.Refused, "")
		for i, want := range map[int]bool{0: false, 1: true, 2: false, failures: false} {
			if got := eager(&p, i); got != want {
				t.Errorf("Eager(%v) = %v, want %v", target(i), got, want)
			}
		}
		if n := p.memory().Len(); n != failures {
			t.Errorf("%d failures are remembered, want %d", n, failures)
		}
	})
}

func TestMode(t *testing.T) {
	for _, m := range []Mode{On, Off, Auto} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("ParseMode(%q) = %v, %v; want %v", m, got, err, m)
		}
	}
	if _, err := ParseMode("maybe"); err == nil {
		t.Error(`ParseMode("maybe") = nil, want an error`)
	}
}

// TestWhy checks that the text of the last failure is returned for a later failure with
// the same code.
func TestWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Eagerness
		a := Address{Host: "example.com", Port: 80}
		p.Failed(a, code.Refused, "no listener")
		if got := p.Why(Address{Host: "EXAMPLE.com", Port: 80}, code.Refused); got != "no listener" {
			t.Errorf("Why = %q, want the recorded text", got)
		}
		if got := p.Why(a, code.Timeout) + p.Why(Address{Host: "example.com", Port: 81}, code.Refused); got != "" {
			t.Errorf("Why for another code and another target = %q, want no text", got)
		}
		time.Sleep(failureMax)
		if got := p.Why(a, code.Refused); got != "" {
			t.Errorf("Why after %v = %q, want no text", failureMax, got)
		}
	})
}
