package netx

import (
	"net/netip"
	"testing"
)

func TestOwn(t *testing.T) {
	var o Own
	for addr, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "192.0.2.1": false, "2001:db8::1": false} {
		if got := o.Has(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Has(%s) = %t, want %t", addr, got, want)
		}
	}
}
