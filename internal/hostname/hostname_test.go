package hostname

import (
	"strings"
	"testing"

	"tunnels/internal/code"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{"a", "example.com", "does.not.exist.", "_dmarc.example.com", "bücher.example", strings.Repeat("x", Max)} {
		if err := Check(good); err != nil {
			t.Errorf("Check(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", Max+1), "a b", "a\x00", "a\u2028b", "a\xff", "a:1", "[a]"} {
		if c, ok := code.Of(Check(bad)); !ok || c != code.AddressUnsupported {
			t.Errorf("Check(%q) = %v, want code.AddressUnsupported", bad, Check(bad))
		}
	}
}
