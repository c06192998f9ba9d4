package rules

import (
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tunnels/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sample = `
# who may what
[laptop]      # mine
only  = *.corp.example:443, 10.1.0.0/16
only  = 192.0.2.7
deny  = 10.1.9.0/24
sess.max.cnt = 100
open.max.sec = 50
rate.max.kb  = 10240

[Hans Meier]

[*.team]
deny = all:25
[*.a.team]
sess.max.cnt = 0
[*]
allow = private
`

func mustParse(t testing.TB, text string) *Table {
	t.Helper()
	table, err := Parse(text, "f")
	if err != nil {
		t.Fatalf("Parse = %v", err)
	}
	return table
}

func TestFor(t *testing.T) {
	table := mustParse(t, sample)
	if table.Len() != 5 {
		t.Errorf("%d blocks, want 5", table.Len())
	}
	for client, want := range map[string]string{
		"laptop": "[laptop]", "LAPTOP": "[laptop]", "laptop.team": "[*.team]", "x.A.team": "[*.a.team]",
		"x.y.a.team": "[*.a.team]", "a.team": "[*.team]", "team": "[*]", "xteam": "[*]", "": "[*]",
		"hans meier": "[Hans Meier]", "*": "[*]", ".": "[*]", "laptop.": "[*]", "*.team": "[*.team]",
	} {
		r := table.For(client)
		if r == nil || r.Policy.Who != want {
			t.Errorf("For(%q) = %+v, want %s", client, r, want)
		}
	}
	if r := mustParse(t, "[a]").For("b"); r != nil {
		t.Errorf("For(b) without a matching block = %+v, want nil", r)
	}
	var none *Table
	if none.For("a") != nil || none.Len() != 0 {
		t.Error("a nil table has a block")
	}
}

func TestRule(t *testing.T) {
	all := Limits{Sessions: Limit{7, "flag"}, Opens: Limit{8, "flag"}}
	table := mustParse(t, sample)
	want := Limits{Limit{100, "sess.max.cnt for [laptop]"}, Limit{50, "open.max.sec for [laptop]"}, Limit{10 << 20, "rate.max.kb for [laptop]"}}
	if got := table.For("laptop").Limits(all); got != want {
		t.Errorf("limits of laptop = %+v, want %+v", got, want)
	}
	if got := table.For("x.a.team").Limits(all).Sessions; got.Max != 0 {
		t.Errorf("sess.max.cnt = 0 results in %+v, want no limit", got)
	}
	var none *Rule
	if got := none.Limits(all); got != all || none.Lists() != nil {
		t.Errorf("no block results in %+v, want the general limits", got)
	}
	laptop := new(policy.Exit).For(table.For("laptop").Lists())
	for target, want := range map[string]string{
		"10.1.0.1:22": "", "192.0.2.7:1": "", "10.1.9.1:22": "deny list of [laptop]",
		"10.2.0.1:22": "only list of [laptop]", "1.1.1.1:443": "only list of [laptop]",
	} {
		err := laptop.AllowAddr(netip.MustParseAddrPort(target), "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("laptop to %s: %v, want %q", target, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", 300)
	tests := []struct{ text, want string }{
		{"\nallow = all", "f:2: allow comes before any block: start one with the client's name in brackets, as in [laptop]"},
		{"[a]\n[b]\n[A]", "f:3: [A] is repeated; first on line 1"},
		{"[*]\n[*]", "f:2: [*] is repeated"},
		{"[*.a]\n[ *.a ]", "f:2: [*.a] is repeated"},
		{"[]", "f:1: [] has no name"},
		{"[a", "f:1: want the client's name in brackets"},
		{"[a] b", "f:1: want the client's name in brackets"},
		{"[a] # fine\nonly", `f:2: want key = value, as in allow = 10.1.0.0/16`},
		{"[a*]", "f:1: [a*]: a * must be alone or before the first dot, as in [*.team]"},
		{"[*.]", "a * must be alone"},
		{"[*..a]", "a * must be alone"},
		{"[*.*]", "a * must be alone"},
		{"[" + long + "]", "too long for a certificate name"},
		{"[a]\nalow = all", "f:2: is not valid inside a block: did you mean allow?"},
		{"[a]\nallow =", "f:2: allow: is empty: want targets"},
		{"[a]\nallow = 10.0.0.1/8", `f:2: allow: entry "10.0.0.1/8": has bits set after its prefix: want 10.0.0.0/8`},
		{"[a]\nsess.max.cnt = -1", `f:2: sess.max.cnt: "-1": want a whole number from 1 to 16777216, or 0 for no limit`},
		{"[a]\nsess.max.cnt = " + long, "want a whole number"},
		{"[a]\nrate.max.kb = 1.5", "want a whole number from 1 to 1073741824"},
		{"[a]\nrate.max.kb = 99999999999999999999", "want a whole number"},
		{"[a]\nopen.max.sec = 5\nopen.max.sec = 6", "f:3: open.max.sec: is repeated for [a]"},
		{"[a]\nallow = x.example\n\ndeny = 9.9.9.9, all\n[b]", "f:4: deny: all overrides everything else in [a], so the client could reach nothing; to restrict it to a list, use only = LIST"},
		{"[a]\ndeny = all\nonly = x.example", "f:2: deny: all overrides"},
		{"[a]\n\x00", "f:2: is not text"},
		{"[a\xff]", "f:1: is not text"},
		{strings.Repeat("x\n", 100_000), "f: too many errors: is it a rules file?"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text, "f")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%.60q) = %v, want an error that contains %q", tt.text, err, tt.want)
		} else if len(err.Error()) > 4<<10 {
			t.Errorf("Parse(%.60q): the error is %d bytes long", tt.text, len(err.Error()))
		}
	}
	_, err := Parse("a\n[b]\nc = d", "f")
	if n := len(Problems(err)); n != 2 || strings.Contains(OneLine(err), "\n") {
		t.Errorf("two mistakes are reported as %d problems: %s", n, OneLine(err))
	}
}

// FuzzRules checks that a file is either parsed or rejected with its name and the line,
// and that with a parsed file, every client has at most one block, matching never
// panics, and targets in a deny list are never allowed.
func FuzzRules(f *testing.F) {
	for _, s := range []string{
		sample, "", "[a]", "[*]\ndeny=all", "[a]\nonly=private\nallow=all", "[*.b]\nrate.max.kb=0", "\ufeff[a]",
		"[a]\r\nonly = \"x\" # y\r\n", "[\xff]", "[a]]", "[[a]", "[a]\nonly = ,", "[é.ß]\nopen.max.sec = 1",
	} {
		f.Add(s, "x.a.team", "10.0.0.1", uint16(25))
	}
	f.Fuzz(func(t *testing.T, text, client, host string, port uint16) {
		table, err := Parse(text, "file")
		if err != nil {
			for _, p := range Problems(err) {
				if !strings.HasPrefix(p.Error(), "file:") {
					t.Fatalf("problem %q does not name the file", p)
				}
			}
			return
		}
		r := table.For(client)
		if r == nil {
			return
		}
		if table.For(strings.ToUpper(strings.ToLower(client))) != r && Fold(strings.ToUpper(Fold(client))) == Fold(client) {
			t.Fatalf("upper case of %q changes the block", client)
		}
		l := r.Limits(Limits{})
		if l.Sessions.Max < 0 || l.Opens.Max < 0 || l.Rate.Max < 0 {
			t.Fatalf("negative limit: %+v", l)
		}
		exit := new(policy.Exit).For(r.Lists())
		if exit.AllowName(host, port) == nil && r.Policy.Deny.MatchName(host, port) {
			t.Fatalf("%s allows %q, which is in its deny list", r.Policy.Who, host)
		}
		if a, err := netip.ParseAddr(host); err == nil {
			if exit.AllowAddr(netip.AddrPortFrom(a, port), "") == nil && r.Policy.Only != nil && !r.Policy.Only.MatchAddr(netip.AddrPortFrom(a, port)) {
				t.Fatalf("%s allows %s, which is not in its only list", r.Policy.Who, a)
			}
		}
	})
}
