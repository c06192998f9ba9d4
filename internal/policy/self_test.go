package policy

import (
	"net/netip"
	"regexp"
	"testing"
)

var ownAddr = netip.MustParseAddr("203.0.113.7")

func own(a netip.Addr) bool { return a == ownAddr || a == netip.MustParseAddr("10.0.0.5") }

func mustList(t *testing.T, text string) *List {
	t.Helper()
	l, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSelf checks that self and loopback mean every address of the exit's own machine,
// at the given port, and that deny wins as for any other entry.
func TestSelf(t *testing.T) {
	for _, tt := range []struct {
		allow, deny string
		rules       *Rules
		yes, no     []string
	}{
		{allow: "self:22",
			yes: []string{"203.0.113.7:22", "10.0.0.5:22", "127.0.0.1:22", "[::1]:22", "[::ffff:203.0.113.7]:22", "[64:ff9b::203.0.113.7]:22", "203.0.113.8:23"},
			no:  []string{"203.0.113.7:23", "127.0.0.1:23", "10.0.0.6:22", "0.0.0.0:22", "169.254.169.254:22"}},
		{allow: "Loopback:22", yes: []string{"203.0.113.7:22", "127.0.0.2:22"}, no: []string{"203.0.113.7:80", "10.0.0.6:22"}},
		{allow: "self", deny: "203.0.113.0/24:22", yes: []string{"10.0.0.5:22", "203.0.113.7:80"}, no: []string{"203.0.113.7:22"}},
		{allow: "all", deny: "self:25", yes: []string{"203.0.113.7:22", "10.0.0.6:25"}, no: []string{"203.0.113.7:25", "127.0.0.1:25", "10.0.0.5:25"}},
		{allow: "self", deny: "loopback", no: []string{"203.0.113.7:22", "[::1]:1"}},
		{rules: &Rules{Who: "[c]", Allow: mustList(t, "self:22")}, yes: []string{"203.0.113.7:22"}, no: []string{"203.0.113.7:23"}},
		{allow: "self", rules: &Rules{Who: "[c]", Only: mustList(t, "self:22")}, yes: []string{"203.0.113.7:22"}, no: []string{"203.0.113.7:23", "9.9.9.9:22"}},
		{allow: "self", rules: &Rules{Who: "[c]", Deny: mustList(t, "loopback:22")}, yes: []string{"203.0.113.7:23"}, no: []string{"203.0.113.7:22"}},
	} {
		e := (&Exit{Allow: mustList(t, tt.allow), Deny: mustList(t, tt.deny), Own: own}).For(tt.rules)
		for _, a := range tt.yes {
			for _, via := range []string{"", "vps.example"} {
				if err := e.AllowAddr(netip.MustParseAddrPort(a), via); err != nil {
					t.Errorf("allow %q, deny %q: %s: %v, want it allowed", tt.allow, tt.deny, a, err)
				}
			}
		}
		for _, a := range tt.no {
			for _, via := range []string{"", "vps.example"} {
				if e.AllowAddr(netip.MustParseAddrPort(a), via) == nil {
					t.Errorf("allow %q, deny %q: %s is allowed", tt.allow, tt.deny, a)
				}
			}
		}
	}
	if mustList(t, "only.example,self").Inner().String() != "self" {
		t.Error("Inner omits self, so self in a client's only list allows nothing")
	}
}

// TestRefusalNamesTheEntry checks that the entry suggested by a refusal allows exactly
// that target.
func TestRefusalNamesTheEntry(t *testing.T) {
	proposed := regexp.MustCompile(`\((?:-server\.allow|allow =) (\S+) would\)$`)
	for _, tt := range []struct{ addr, via, want string }{
		{"10.0.0.1:8088", "", "10.0.0.1:8088"},
		{"[::ffff:10.0.0.1]:8088", "", "10.0.0.1:8088"},
		{"127.0.0.1:80", "", "127.0.0.1:80"},
		{"[fe80::1%eth0]:22", "", "[fe80::1]:22"},
		{"169.254.169.254:80", "metadata.example", "metadata.example:80"},
		{"10.0.0.1:1", "b\xe4d name", "10.0.0.1:1"},
		{"10.0.0.1:1", "Upper.Example.", "Upper.Example.:1"},
		{"203.0.113.7:22", "", "self:22"},
		{"203.0.113.7:22", "vps.example", "self:22"},
		{"[64:ff9b::203.0.113.7]:22", "", "self:22"},
	} {
		for _, rules := range []*Rules{nil, {Who: "[c]"}} {
			a := netip.MustParseAddrPort(tt.addr)
			err := (&Exit{Allow: &List{Name: "-server.allow"}, Own: own}).For(rules).AllowAddr(a, tt.via)
			if err == nil {
				t.Errorf("%s is allowed", tt.addr)
				continue
			}
			m := proposed.FindStringSubmatch(err.Error())
			if m == nil || m[1] != tt.want {
				t.Errorf("%s by %q: %v, want it to suggest %s", tt.addr, tt.via, err, tt.want)
				continue
			}
			if err := (&Exit{Own: own, Allow: mustList(t, m[1])}).AllowAddr(a, tt.via); err != nil {
				t.Errorf("with the suggested entry: %v", err)
			}
		}
	}
}
