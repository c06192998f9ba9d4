package policy

import (
	"net/netip"
	"testing"
)

// TestRules tests a client's rules together with the lists for all clients. The target
// is name, resolved to addr, or just addr.
func TestRules(t *testing.T) {
	tests := []struct {
		allow, deny string // for all clients
		only        string // empty means unset
		yes, no     string // the client's allow and deny
		name, addr  string
		want        string // part of the refusal; empty if allowed
	}{
		{addr: "1.1.1.1:443"},
		{addr: "10.0.0.1:443", want: "is private (10.0.0.0/8): neither -server.allow nor the allow list of [c] includes it"},
		{allow: "private", addr: "10.0.0.1:443"},

		{yes: "10.1.0.0/16", addr: "10.1.0.1:443"},
		{yes: "10.1.0.0/16", addr: "[::ffff:10.1.0.1]:443"},
		{yes: "10.1.0.0/16", addr: "10.2.0.1:443", want: "is private"},
		{yes: "10.1.0.0/16", addr: "1.1.1.1:443"},
		{yes: "db.corp.example", name: "db.corp.example", addr: "10.1.0.1:5432"},
		{yes: "db.corp.example", name: "evil.example", addr: "10.1.0.1:5432", want: "is private"},

		{no: "all:25", addr: "1.1.1.1:25", want: "target 1.1.1.1:25: the deny list of [c] contains all:25"},
		{no: "*.evil.example", name: "a.evil.example", addr: "1.1.1.1:80", want: "the deny list of [c] contains *.evil.example"},
		{no: "1.1.1.0/24", name: "a.example", addr: "1.1.1.1:80", want: "target a.example (1.1.1.1) port 80: the deny list of [c] contains 1.1.1.0/24"},
		{no: "private", yes: "10.0.0.0/8", allow: "all", addr: "10.0.0.1:80", want: "the deny list of [c] contains private"},
		{no: "private", addr: "[::ffff:10.0.0.1]:80", want: "the deny list of [c] contains private"},

		// a target denied to all clients is denied
		{deny: "10.1.0.0/16", yes: "10.1.0.0/16", addr: "10.1.0.1:80", want: "-server.deny contains 10.1.0.0/16"},
		{deny: "10.1.0.0/16", only: "10.1.0.0/16", yes: "10.1.0.0/16", addr: "10.1.0.1:80", want: "-server.deny contains 10.1.0.0/16"},
		{deny: "db.example", yes: "all", name: "db.example", addr: "10.1.0.1:80", want: "-server.deny contains db.example"},

		// only restricts; it allows nothing
		{only: "*.corp.example:443", name: "a.corp.example", addr: "1.1.1.1:443"},
		{only: "*.corp.example:443", name: "a.corp.example", addr: "1.1.1.1:80", want: "not in the only list of [c]"},
		{only: "*.corp.example:443", name: "a.example", addr: "1.1.1.1:443", want: "not in the only list of [c]"},
		{only: "*.corp.example:443", addr: "1.1.1.1:443", want: "not in the only list of [c]"},
		{only: "*.corp.example:443", name: "a.corp.example", addr: "127.0.0.1:443", want: "is loopback"},
		{only: "1.1.1.0/24", name: "a.example", addr: "1.1.1.9:443"},
		{only: "1.1.1.0/24", name: "a.example", addr: "1.1.2.9:443", want: "not in the only list of [c]"},
		{only: "all:443", addr: "10.0.0.1:443", want: "is private"},
		{only: "10.0.0.0/8", addr: "10.0.0.1:443", want: "is private"}, // the file parser would add Inner
		{only: "10.0.0.0/8", yes: "10.0.0.0/8", addr: "10.0.0.1:443"},
		{only: "10.0.0.0/8", yes: "10.0.0.0/8", no: "10.0.0.1", addr: "10.0.0.1:443", want: "deny list of [c]"},
		{only: "a.example", yes: "private", allow: "all", addr: "10.0.0.1:443", want: "not in the only list of [c]"},
		{only: " ", addr: "1.1.1.1:443", want: "not in the only list of [c]"},
	}
	for _, tt := range tests {
		e := exitOf(t, tt.allow, tt.deny)
		r := &Rules{Who: "[c]", Allow: mustParse(t, tt.yes), Deny: mustParse(t, tt.no)}
		if tt.only != "" {
			r.Only = mustParse(t, tt.only)
		}
		err := e.For(r).AllowAddr(netip.MustParseAddrPort(tt.addr), tt.name)
		checkVerdict(t, err, tt.want, "for all: allow %q deny %q; client: only %q allow %q deny %q: AllowAddr(%s, %q)",
			tt.allow, tt.deny, tt.only, tt.yes, tt.no, tt.addr, tt.name)
	}
}

// TestRulesNames checks that names are refused before they are resolved if no address
// could change the outcome.
func TestRulesNames(t *testing.T) {
	tests := []struct{ only, no, host, want string }{
		{"", "", "a.example", ""},
		{"", "a.example", "A.example.", "target A.example.:80: the deny list of [c] contains a.example"},
		{"", "1.1.1.1", "1.1.1.1", "the deny list of [c] contains 1.1.1.1"},
		{"a.example", "", "a.example", ""},
		{"a.example", "", "b.example", "target b.example:80: not in the only list of [c]"},
		{"a.example:443", "", "a.example", "not in the only list of [c]"},
		{"a.example, 9.0.0.0/8", "", "b.example", ""}, // might resolve to an allowed address
		{"a.example, 9.0.0.0/8:443", "", "b.example", "not in the only list of [c]"},
		{"all:80", "", "b.example", ""},
		{"all:443", "", "b.example", "not in the only list of [c]"},
		{"9.0.0.0/8", "", "8.8.8.8", "not in the only list of [c]"},
		{"9.0.0.0/8", "", "9.9.9.9", ""},
		{"a.example", "", "a\nb.example", `a\nb.example:80: not in the only list of [c]`},
	}
	for _, tt := range tests {
		r := &Rules{Who: "[c]", Deny: mustParse(t, tt.no)}
		if tt.only != "" {
			r.Only = mustParse(t, tt.only)
		}
		err := new(Exit).For(r).AllowName(tt.host, 80)
		checkVerdict(t, err, tt.want, "only %q deny %q: AllowName(%q)", tt.only, tt.no, tt.host)
	}
}

func TestInner(t *testing.T) {
	list := mustParse(t, "all, 10.1.0.0/16:22, private, loopback:80, 9.0.0.0/8, 0.0.0.0/0, 8.0.0.0/5, a.example, *.b.example, ::ffff:10.0.0.1, fd00::/8, ::/0")
	const want = "10.1.0.0/16:22,private,loopback:80,::ffff:10.0.0.1,fd00::/8"
	if got := list.Inner().String(); got != want {
		t.Errorf("Inner of %q = %q, want %q", list, got, want)
	}
	var none *List
	if got := none.Inner(); !got.Empty() {
		t.Errorf("Inner of nil = %q, want nothing", got)
	}
	if got := none.Join(mustParse(t, "a")).Join(mustParse(t, "b")).String(); got != "a,b" {
		t.Errorf("Join = %q, want a,b", got)
	}
	for text, want := range map[string]bool{"": false, "all:1": false, "a,ALL": true, "private": false} {
		if got := mustParse(t, text).All(); got != want {
			t.Errorf("All of %q = %v, want %v", text, got, want)
		}
	}
}
