package tls

import (
	"net"
	"testing"
)

// TestHandshakesShareBySource checks that a source with many unfinished handshakes
// loses one, not a source with few.
func TestHandshakesShareBySource(t *testing.T) {
	l := &listener{bySource: map[string]int{}}
	add := func(source string) {
		l.pending.PushBack(&attempt{source: source, low: &lower{}})
		l.bySource[source]++
	}
	add("honest")
	for range 9 {
		add("flood")
	}
	for i, source := range []string{"flood", "newcomer", "honest", "flood"} {
		e := l.oldestLocked(source)
		if got := e.Value.(*attempt).source; got != "flood" {
			t.Errorf("%d: a handshake from %s is dropped for one from %s, want one from flood", i, got, source)
		}
		l.forgetLocked(e)
	}
	for range 6 {
		l.forgetLocked(l.pending.Front())
	}
	if len(l.bySource) != 0 {
		t.Errorf("sources %v remain after the last handshake", l.bySource)
	}
}

type at struct {
	net.Conn
	addr net.Addr
}

func (a at) RemoteAddr() net.Addr { return a.addr }

func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:2": "192.0.2.1",
		"[2001:db8::1]:3": "2001:db8::/64", "[2001:db8::2]:3": "2001:db8::/64",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceOf(at{addr: tcp}); got != want {
			t.Errorf("source of %s = %q, want %q", addr, got, want)
		}
	}
	if got := sourceOf(at{addr: &net.UnixAddr{Net: "unix"}}); got != "" {
		t.Errorf("source on a UNIX socket = %q", got)
	}
}

// TestOldestOfEqualSources checks that if no source has more handshakes than the
// others, the oldest one is dropped, so that new ones have time to finish.
func TestOldestOfEqualSources(t *testing.T) {
	l := &listener{bySource: map[string]int{}}
	for _, source := range []string{"a", "b", "c", "d"} {
		l.pending.PushBack(&attempt{source: source, low: &lower{}})
		l.bySource[source]++
	}
	for range 50 { // map order varies between iterations
		for source, want := range map[string]string{"new": "a", "c": "c"} {
			if got := l.oldestLocked(source).Value.(*attempt).source; got != want {
				t.Fatalf("a new handshake from %s replaces one from %s, want %s", source, got, want)
			}
		}
	}
}

// TestSilentFirst checks that among one source's handshakes, the oldest that has
// received nothing is dropped first.
func TestSilentFirst(t *testing.T) {
	l := &listener{bySource: map[string]int{"a": 4}}
	for i := range 4 {
		a := &attempt{source: "a", low: &lower{serverName: string(rune('0' + i))}}
		a.low.heard.Store(i%2 == 0)
		l.pending.PushBack(a)
	}
	for _, want := range []string{"1", "3", "0", "2"} {
		e := l.oldestLocked("a")
		if got := e.Value.(*attempt).low.serverName; got != want {
			t.Errorf("handshake %s is dropped, want %s", got, want)
		}
		l.forgetLocked(e)
	}
}
