package bench

import (
	"slices"
	"testing"
)

// TestLeadingCases: the leading cases come first in a report, and no case is lost.
func TestLeadingCases(t *testing.T) {
	all := allCases()
	got := leadingFirst(all)
	if len(got) != len(all) {
		t.Fatalf("%d of %d cases", len(got), len(all))
	}
	for i, name := range append(slices.Clone(leading), "down1") {
		if got[i].name != name {
			t.Errorf("case %d is %s, want %s", i, got[i].name, name)
		}
	}
}

// TestTargets: every target refers to an existing figure.
func TestTargets(t *testing.T) {
	known := make(map[string]bool)
	for _, c := range allCases() {
		for _, f := range c.figures {
			known[c.name+" "+f.name] = true
		}
	}
	for _, tt := range targets {
		if !known[tt.caseName+" "+tt.figure] {
			t.Errorf("target for %s %s: no such figure", tt.caseName, tt.figure)
		}
	}
}
