package policy

import (
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tunnels/internal/code"
)

// TestOwn checks that addresses of the exit's own machine are denied by default, in
// every form, and allowed if a list names them.
func TestOwn(t *testing.T) {
	own := netip.MustParseAddr("198.51.100.7")
	e := Exit{Own: func(a netip.Addr) bool { return a == own }}
	for _, addr := range []string{"198.51.100.7", "::ffff:198.51.100.7", "64:ff9b::198.51.100.7"} {
		a := netip.AddrPortFrom(netip.MustParseAddr(addr), 80)
		if err := e.AllowAddr(a, ""); err == nil || !strings.Contains(err.Error(), "own machine") {
			t.Errorf("%s: %v, want it denied as the exit's own", addr, err)
		}
		if err := e.For(&Rules{}).AllowAddr(a, "name.example"); err == nil {
			t.Errorf("%s is allowed for a client with rules", addr)
		}
		allow, err := Parse("198.51.100.7:80")
		if err != nil {
			t.Fatal(err)
		}
		if err := (&Exit{Allow: allow, Own: e.Own}).AllowAddr(a, ""); err != nil {
			t.Errorf("%s, listed: %v", addr, err)
		}
	}
	if err := e.AllowAddr(netip.MustParseAddrPort("198.51.100.8:80"), ""); err != nil {
		t.Errorf("another address: %v", err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustParse(t *testing.T, list string) *List {
	t.Helper()
	l, err := Parse(list)
	if err != nil {
		t.Fatalf("Parse(%q) = %v", list, err)
	}
	return l
}

// exitOf returns an exit whose lists are named like a server's options.
func exitOf(t *testing.T, allow, deny string) *Exit {
	t.Helper()
	e := &Exit{Allow: mustParse(t, allow), Deny: mustParse(t, deny)}
	e.Allow.Name, e.Deny.Name = "-server.allow", "-server.deny"
	return e
}

// TestUnnamedLists checks that refusals call an unnamed list simply allow or deny.
func TestUnnamedLists(t *testing.T) {
	e := &Exit{Deny: mustParse(t, "1.1.1.1")}
	checkVerdict(t, e.AllowAddr(netip.MustParseAddrPort("1.1.1.1:80"), ""), "target 1.1.1.1:80: deny contains 1.1.1.1", "no name")
	checkVerdict(t, e.AllowAddr(netip.MustParseAddrPort("10.0.0.1:80"), ""), "allow does not include it (allow 10.0.0.1:80 would)", "no list")
}

func TestMatchAddr(t *testing.T) {
	tests := []struct {
		list, addr string
		want       bool
	}{
		{"", "1.2.3.4:80", false},
		{"10.0.0.0/8", "10.255.0.1:80", true},
		{"10.0.0.0/8", "11.0.0.1:80", false},
		{"10.0.0.0/8:22", "10.0.0.1:22", true},
		{"10.0.0.0/8:22", "10.0.0.1:23", false},
		{"192.0.2.7", "192.0.2.7:1", true},
		{"192.0.2.7", "192.0.2.8:1", false},
		{"192.0.2.7:22", "192.0.2.7:22", true},
		{"192.0.2.7:22", "192.0.2.7:2222", false},
		{"192.0.2.7", "[::ffff:192.0.2.7]:1", true},
		{"::ffff:192.0.2.7", "192.0.2.7:1", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3:1", true},
		{"10.0.0.0/8", "[64:ff9b::a01:203]:1", true},
		{"64:ff9b::/96", "[64:ff9b::a01:203]:1", true},
		{"::/0", "10.0.0.1:1", false},
		{"2001:db8::7", "[2001:db8::7]:1", true},
		{"[2001:db8::7]", "[2001:db8::7]:1", true},
		{"[2001:db8::7]:22", "[2001:db8::7]:22", true},
		{"[2001:db8::7]:22", "[2001:db8::7]:23", false},
		{"2001:db8::/32", "[2001:db8:1::1]:1", true},
		{"[2001:db8::/32]:22", "[2001:db8:1::1]:22", true},
		{"[2001:db8::/32]:22", "[2001:db8:1::1]:23", false},
		{"fe80::/10", "[fe80::1%eth0]:1", true},
		{"loopback", "127.9.9.9:1", true},
		{"loopback", "[::1]:1", true},
		{"loopback:8080", "127.0.0.1:8080", true},
		{"loopback:8080", "127.0.0.1:80", false},
		{"loopback", "10.0.0.1:1", false},
		{"Private", "172.31.0.1:1", true},
		{"private", "172.32.0.1:1", false},
		{"private", "100.127.0.1:1", true},
		{"private", "[fd00:ec2::254]:1", true},
		{"private", "169.254.169.254:80", false},
		{"all", "169.254.169.254:80", true},
		{"all:443", "1.1.1.1:443", true},
		{"all:443", "1.1.1.1:80", false},
		{"example.com", "1.1.1.1:80", false},
		{" 10.0.0.0/8 , 192.0.2.7 ", "192.0.2.7:9", true},
	}
	for _, tt := range tests {
		if got := mustParse(t, tt.list).MatchAddr(netip.MustParseAddrPort(tt.addr)); got != tt.want {
			t.Errorf("Parse(%q).MatchAddr(%s) = %v, want %v", tt.list, tt.addr, got, tt.want)
		}
	}
}

func TestMatchName(t *testing.T) {
	tests := []struct {
		list, host string
		port       uint16
		want       bool
	}{
		{"", "a.example", 80, false},
		{"db.example", "db.example", 80, true},
		{"DB.Example.", "db.EXAMPLE", 80, true},
		{"db.example", "db.example.", 80, true},
		{"db.example", "a.db.example", 80, false},
		{"db.example:5432", "db.example", 5432, true},
		{"db.example:5432", "db.example", 80, false},
		{"*.example", "a.example", 80, true},
		{"*.example", "a.b.example", 80, true},
		{"*.example", "example", 80, false},
		{"*.example", ".example", 80, false},
		{"*.example", "badexample", 80, false},
		{"*.example:443", "a.example", 443, true},
		{"*.example:443", "a.example", 80, false},
		{"all", "anything", 1, true},
		{"private,loopback", "localhost", 1, false},
		{"10.0.0.0/8", "10.1.1.1", 1, true},
		{"loopback", "::1", 1, true},
		{"_srv.example", "_srv.example", 1, true},
		{"example", "", 1, false},
	}
	for _, tt := range tests {
		if got := mustParse(t, tt.list).MatchName(tt.host, tt.port); got != tt.want {
			t.Errorf("Parse(%q).MatchName(%q, %d) = %v, want %v", tt.list, tt.host, tt.port, got, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ list, want string }{
		{"a,,b", "an extra comma"},
		{",", "an extra comma"},
		{"10.0.0.1/8", "want 10.0.0.0/8, or 10.0.0.1"},
		{"10.0.0.0/33", "CIDR notation"},
		{"10.0.0.0/", "CIDR notation"},
		{"example.com/24", "CIDR notation"},
		{"::ffff:0.0.0.0/90", "IPv4 network in IPv4 form"},
		{"300.1.1.1", "neither an address nor a name"},
		{"10.0.0", "neither an address nor a name"},
		{"*", "want a CIDR"},
		{"*.", "want a CIDR"},
		{"*example.com", "want a CIDR"},
		{"a.*.example", "want a CIDR"},
		{".example", "want a CIDR"},
		{"a..example", "want a CIDR"},
		{"http://example.com", "is a URL"},
		{"a b", "want a CIDR"},
		{"a;b", "want a CIDR"},
		{"bücher.example", "xn--"},
		{"a:0", "1 to 65535"},
		{"a:65536", "1 to 65535"},
		{"a:080", "1 to 65535"},
		{"a:http", "1 to 65535"},
		{"a:", "1 to 65535"},
		{"[::1", "not closed"},
		{"[10.0.0.1]:22", "brackets are for IPv6"},
		{"[::1]22", "colon and the port"},
		{"[::1]:", "1 to 65535"},
		{"fe80::1%eth0", "cannot have a zone"},
		{strings.Repeat("a", 64), "want a CIDR"},
		{strings.Repeat("a.", 127) + "a", "want a CIDR"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.list)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want an error that contains %q", tt.list, err, tt.want)
		}
	}
}

func TestNilList(t *testing.T) {
	var l *List
	if l.MatchAddr(netip.MustParseAddrPort("1.2.3.4:5")) || l.MatchName("a", 1) || l.String() != "" || !l.Empty() {
		t.Error("a nil list is not empty")
	}
}

func TestExit(t *testing.T) {
	tests := []struct {
		allow, deny string
		name        string // resolves to addr; empty if the target is the address
		addr        string
		want        string // part of the refusal; empty if allowed
	}{
		{addr: "1.1.1.1:443"},
		{addr: "[2606:4700::1]:443"},
		{name: "example.com", addr: "1.1.1.1:443"},

		// denied by default
		{addr: "127.0.0.1:80", want: "target 127.0.0.1:80 is loopback (127.0.0.0/8): -server.allow does not include it"},
		{addr: "127.255.0.1:80", want: "is loopback"},
		{addr: "[::1]:80", want: "target [::1]:80 is loopback"},
		{addr: "169.254.169.254:80", want: "is link-local"},
		{addr: "[fe80::1%eth0]:80", want: "is link-local"},
		{addr: "[febf::1]:80", want: "is link-local"},
		{addr: "10.1.2.3:80", want: "is private"},
		{addr: "172.16.0.1:80", want: "is private"},
		{addr: "192.168.0.1:80", want: "is private"},
		{addr: "100.100.100.200:80", want: "is private"},
		{addr: "[fd00:ec2::254]:80", want: "is private"},
		{addr: "[fec0::1]:80", want: "is private"},
		{addr: "0.0.0.0:80", want: "is this host"},
		{addr: "0.1.2.3:80", want: "is this host"},
		{addr: "[::]:80", want: "is this host"},
		{addr: "224.0.0.1:80", want: "is multicast"},
		{addr: "[ff02::1]:80", want: "is multicast"},
		{addr: "255.255.255.255:80", want: "broadcast"},
		{addr: "[::ffff:10.0.0.1]:80", want: "target 10.0.0.1:80 is private"},
		{addr: "[::ffff:169.254.169.254]:80", want: "is link-local"},
		{addr: "[64:ff9b::7f00:1]:80", want: "is loopback"},
		{addr: "[64:ff9b::a9fe:a9fe]:80", want: "is link-local"},
		{addr: "[64:ff9b:1::a00:1]:80", want: "is local NAT64"},
		{addr: "[::7f00:1]:80", want: "is reserved"},
		{addr: "[64:ff9b::808:808]:80"},
		{name: "metadata.example", addr: "169.254.169.254:80", want: "target metadata.example (169.254.169.254) port 80 is link-local"},

		// allowed explicitly
		{allow: "loopback", addr: "127.0.0.1:80"},
		{allow: "loopback", addr: "[::1]:80"},
		{allow: "loopback", addr: "10.0.0.1:80", want: "is private"},
		{allow: "private", addr: "169.254.169.254:80", want: "is link-local"},
		{allow: "10.0.0.0/8:22", addr: "10.0.0.1:22"},
		{allow: "10.0.0.0/8:22", addr: "10.0.0.1:80", want: "is private"},
		{allow: "10.0.0.0/8", addr: "[64:ff9b::a00:1]:80"},
		{allow: "all", addr: "169.254.169.254:80"},
		{allow: "*.corp.example", name: "db.corp.example", addr: "10.0.0.1:5432"},
		{allow: "*.corp.example", name: "corp.example", addr: "10.0.0.1:5432", want: "is private"},
		{allow: "*.corp.example", addr: "10.0.0.1:5432", want: "is private"},

		// deny wins
		{deny: "1.1.1.1", addr: "1.1.1.1:80", want: "target 1.1.1.1:80: -server.deny contains 1.1.1.1"},
		{deny: "all:25", addr: "8.8.8.8:25", want: "-server.deny contains all:25"},
		{deny: "all:25", addr: "8.8.8.8:26"},
		{deny: "*.evil.example", name: "a.evil.example", addr: "8.8.8.8:80", want: "-server.deny contains *.evil.example"},
		{allow: "all", deny: "private", addr: "10.0.0.1:80", want: "-server.deny contains private"},
		{allow: "db.example", deny: "10.0.0.0/8", name: "db.example", addr: "10.0.0.1:80", want: "-server.deny contains 10.0.0.0/8"},
		{allow: "10.0.0.1", deny: "db.example", name: "db.example", addr: "10.0.0.1:80", want: "-server.deny contains db.example"},
		{deny: "10.0.0.0/8", allow: "all", addr: "[64:ff9b::a00:1]:80", want: "-server.deny contains 10.0.0.0/8"},
	}
	for _, tt := range tests {
		e := exitOf(t, tt.allow, tt.deny)
		err := e.AllowAddr(netip.MustParseAddrPort(tt.addr), tt.name)
		checkVerdict(t, err, tt.want, "allow %q deny %q: AllowAddr(%s, %q)", tt.allow, tt.deny, tt.addr, tt.name)
	}
}

func checkVerdict(t *testing.T, err error, want, format string, a ...any) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf(format+" = %v, want allowed", append(a, err)...)
		}
		return
	}
	if c, _ := code.Of(err); c != code.NotAllowed || !strings.Contains(err.Error(), want) {
		t.Errorf(format+" = %v, want not allowed: %s", append(a, err, want)...)
	}
}

func TestExitNames(t *testing.T) {
	tests := []struct{ allow, deny, host, want string }{
		{"", "", "example.com", ""},
		{"", "", "localhost", ""}, // the addresses it resolves to are judged
		{"", "", "127.0.0.1", "is loopback"},
		{"", "", "::ffff:127.0.0.1", "is loopback"},
		{"loopback", "", "127.0.0.1", ""},
		{"", "example.com", "EXAMPLE.com.", "-server.deny contains example.com"},
		{"", "all", "example.com", "-server.deny contains all"},
		{"all", "*.example.com", "a.example.com", "-server.deny contains *.example.com"},
		{"", "*.example.com", "a\n\x1b[2J.example.com", `a\n\x1b[2J.example.com`},
	}
	for _, tt := range tests {
		e := exitOf(t, tt.allow, tt.deny)
		checkVerdict(t, e.AllowName(tt.host, 80), tt.want, "allow %q deny %q: AllowName(%q)", tt.allow, tt.deny, tt.host)
	}
}

func TestZeroExit(t *testing.T) {
	var e Exit
	checkVerdict(t, e.AllowAddr(netip.MustParseAddrPort("10.0.0.1:1"), ""), "is private", "zero Exit: AllowAddr(10.0.0.1:1)")
	checkVerdict(t, e.AllowAddr(netip.AddrPort{}, "x.example"), "has no address", "zero Exit: AllowAddr(invalid)")
	checkVerdict(t, e.AllowAddr(netip.MustParseAddrPort("9.9.9.9:1"), ""), "", "zero Exit: AllowAddr(9.9.9.9:1)")
}
