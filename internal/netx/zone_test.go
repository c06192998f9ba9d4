package netx

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestZoneProblem(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil || len(all) == 0 {
		t.Skip("no interfaces: ", err)
	}
	for address, want := range map[string]string{
		"[fe80::1]:443":                                    "[fe80::1%INTERFACE]:443",
		"[fe80::1%nosuchinterface0]:443":                   `no interface "nosuchinterface0"`,
		"[fe80::1%" + all[0].Name + "]:443":                "",
		"[fe80::1%" + strconv.Itoa(all[0].Index) + "]:443": "",
		"[fe80::1%4000000]:443":                            "no interface",
		"[2001:db8::1]:443":                                "",
		"169.254.1.1:443":                                  "",
		"[::ffff:169.254.1.1]:443":                         "",
		"vps.example:443":                                  "",
		":443":                                             "",
		"":                                                 "",
	} {
		if got := ZoneProblem(address); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("ZoneProblem(%q) = %q, want %q", address, got, want)
		}
	}
}
