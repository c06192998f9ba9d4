package bench

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		args           string
		cases, systems int
		n              int
		want           string // part of the error, or empty for none
	}{
		{"", 16, 6, 5, ""},
		{"-quick", 16, 2, 3, ""},
		{"-quick -n 7 -systems ours,ssh", 16, 2, 7, ""},
		{"-smoke", 16, 3, 1, ""},
		{"-cases down*,idle -vs socks5://127.0.0.1:1 -vs socks5h://u:p@[::1]:2", 4, 8, 5, ""},
		{"-systems ours,ours", 16, 1, 5, ""},
		{"-cases path-loss-* -congestion bbr", 3, 6, 5, ""},
		{"-list", len(allCases()), 6, 5, ""},
		{"-cases *", len(allCases()), 6, 5, ""},
		{"-cases nosuch", 0, 0, 0, "none of down1"},
		{"-cases [", 0, 0, 0, "-cases"},
		{"-systems nosuch", 0, 0, 0, "is not one of ours"},
		{"-vs http://127.0.0.1:1", 0, 0, 0, "want socks5://host:port"},
		{"-vs socks5://127.0.0.1", 0, 0, 0, "want socks5://host:port"},
		{"-n 0", 0, 0, 0, "want 1 to 1000"},
		{"-nosuch", 0, 0, 0, "nosuch"},
		{"down1", 0, 0, 0, "not an option"},
	}
	for _, tt := range tests {
		o, err := parseOptions(strings.Fields(tt.args), io.Discard)
		if tt.want != "" {
			if err == nil || !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseOptions(%s) = %v, want a usage error with %q", tt.args, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("parseOptions(%s) = %v, want none", tt.args, err)
		} else if len(o.caseTable) != tt.cases || len(o.systemTable) != tt.systems || o.n != tt.n {
			t.Errorf("parseOptions(%s) = %d cases, %d systems, %d repetitions, want %d, %d, %d", tt.args, len(o.caseTable), len(o.systemTable), o.n, tt.cases, tt.systems, tt.n)
		}
	}
	var help strings.Builder
	if _, err := parseOptions([]string{"-h"}, &help); !errors.Is(err, errHelp) || !strings.Contains(help.String(), "Examples:") {
		t.Errorf("parseOptions(-h) = %v, %q, want the usage", err, help.String())
	}
}

// TestSystemSuits checks which cells of the report stay empty.
func TestSystemSuits(t *testing.T) {
	vs, err := foreign("socks5://127.0.0.1:1081")
	if err != nil {
		t.Fatal(err)
	}
	systems := append(allSystems(), vs)
	want := map[string]string{
		"down1":  "ours ours-unlimited direct tls-relay ssh microsocks 127.0.0.1:1081",
		"idle":   "ours ours-unlimited tls-relay ssh microsocks",
		"stall1": "ours tls-relay ssh microsocks 127.0.0.1:1081",
		"first":  "ours ours-unlimited tls-relay ssh",
		"busy":   "ours ours-unlimited tls-relay ssh",

		"path-page": "ours ours-unlimited direct tls-relay ssh",
	}
	for _, c := range allCases() {
		var got []string
		for _, s := range systems {
			if s.suits(c) {
				got = append(got, s.name)
			}
		}
		if w, ok := want[c.name]; ok && strings.Join(got, " ") != w {
			t.Errorf("%s is measured with %v, want %s", c.name, got, w)
		}
	}
}
