package resolve

import (
	"strings"
	"testing"
)

// TestSystemOddHyphen checks that if package net refuses to query a name, the error
// does not claim that the name does not exist.
func TestSystemOddHyphen(t *testing.T) {
	r := newResolver([]upstream{newSystem("-server.dns")})
	defer r.Close()
	for _, name := range []string{"foo-.invalid", "-foo.invalid", "a.-b.invalid", "a.invalid-"} {
		_, err := r.Lookup(t.Context(), "laptop", name)
		if err == nil || !strings.Contains(err.Error(), "hyphen") || !strings.Contains(err.Error(), "-server.dns") {
			t.Errorf("looking up %s: %v, want the reason and a remedy", name, err)
		}
	}
	for name, want := range map[string]bool{"a-b.example": false, "xn--bcher-kva.example": false, "a": false, "a-": true, "-": true} {
		if got := oddHyphen(name); got != want {
			t.Errorf("oddHyphen(%q) = %v, want %v", name, got, want)
		}
	}
}
