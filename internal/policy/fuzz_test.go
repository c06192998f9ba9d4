package policy

import (
	"net/netip"
	"testing"
)

// FuzzParse checks that for any list that Parse accepts, String returns a form that
// Parse reads back as the same list, and that matching it never panics.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "10.0.0.0/8", "192.0.2.7:22", "[2001:db8::7]:22", "[2001:db8::/32]:22", "2001:db8::1",
		"*.example:443, db.example", "loopback,private:22,all", "::ffff:10.0.0.0/104", "[::1", "a:0", "*", "%", "[",
	} {
		f.Add(s, "10.0.0.1", uint16(22))
	}
	f.Add("*.a", "b.a", uint16(0))
	f.Fuzz(func(t *testing.T, list, host string, port uint16) {
		l, err := Parse(list)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil {
			t.Fatalf("Parse(%q) fails on String's output: %v", l, err)
		}
		if l.String() != again.String() || len(l.entries) != len(again.entries) {
			t.Fatalf("Parse(%q) reads back as %q", l, again)
		}
		if got, want := again.MatchName(host, port), l.MatchName(host, port); got != want {
			t.Fatalf("after reading %q back: MatchName(%q, %d) = %v, want %v", l, host, port, got, want)
		}
		for i := range l.entries {
			e := &l.entries[i]
			p := max(e.port, 1)
			if e.name != "" {
				host := e.name
				if e.below {
					host = "x." + host
				}
				if !l.MatchName(host, p) {
					t.Fatalf("Parse(%q).MatchName(%q, %d) = false for its own entry %q", list, host, p, e.text)
				}
			}
			for _, prefix := range e.prefixes {
				if !l.MatchAddr(netip.AddrPortFrom(prefix.Addr(), p)) {
					t.Fatalf("Parse(%q).MatchAddr(%s) = false for its own entry %q", list, prefix.Addr(), e.text)
				}
			}
		}
	})
}

// FuzzExit checks that an address denied by default is denied in every spelling.
func FuzzExit(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, "x")
	f.Add([]byte{169, 254, 169, 254}, "")
	f.Add(netip.MustParseAddr("::1").AsSlice(), "localhost")
	f.Add(netip.MustParseAddr("64:ff9b::a00:1").AsSlice(), "a\x00b")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		var e Exit
		u := a.Unmap()
		inside := u.IsLoopback() || u.IsPrivate() || u.IsLinkLocalUnicast() || u.IsUnspecified() || u.IsMulticast()
		if err := e.AllowAddr(netip.AddrPortFrom(a, 80), name); inside && err == nil {
			t.Fatalf("AllowAddr(%s) = nil, want it denied", a)
		}
		if a.Is4() {
			mapped := netip.AddrFrom16(a.As16())
			one, two := e.AllowAddr(netip.AddrPortFrom(a, 80), ""), e.AllowAddr(netip.AddrPortFrom(mapped, 80), "")
			if (one == nil) != (two == nil) {
				t.Fatalf("AllowAddr(%s) = %v, but as %s it is %v", a, one, mapped, two)
			}
		}
	})
}
