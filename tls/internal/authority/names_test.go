package authority

import (
	"strings"
	"testing"
)

func TestClientName(t *testing.T) {
	for _, name := range []string{"laptop", "a", "Anna.Laptop_2-x", "7", strings.Repeat("x", 64)} {
		if err := CheckClientName(name); err != nil {
			t.Errorf("CheckClientName(%q) = %v, want no error", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a..b", "-rf", ".hidden", "a b", "a\nb", "é", "a\x00",
		"ca", "CA", "server", "laptop.pem", strings.Repeat("x", 65)} {
		if err := CheckClientName(name); err == nil {
			t.Errorf("CheckClientName(%q): no error", name)
		} else if !strings.HasPrefix(err.Error(), "client name \"") {
			t.Errorf("CheckClientName(%q) = %v, want it to name the value", name, err)
		}
	}
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{
		"vps.example.com": "vps.example.com", "VPS.Example.com.": "vps.example.com", "localhost": "localhost",
		"203.0.113.7": "203.0.113.7", "2001:DB8::1": "2001:db8::1", "::ffff:1.2.3.4": "1.2.3.4",
		"*.example.com": "*.example.com", "my_host": "my_host", "4ever.example": "4ever.example",
	} {
		if got, err := HostName(in); err != nil || got != want {
			t.Errorf("HostName(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "vps:443", "[::1]", "https://vps", "vps/x", "a b", "a..b", "-a.b", "a-.b", "1.2.3", "0.0.0.0",
		"::", "fe80::1%eth0", "*", "*.com", "a.*.b", "a\nb", "ü.de", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "b"} {
		if got, err := HostName(in); err == nil {
			t.Errorf("HostName(%q) = %q, want an error", in, got)
		}
	}
	if _, err := HostNames(nil); err == nil {
		t.Error("HostNames of none: no error")
	}
}
