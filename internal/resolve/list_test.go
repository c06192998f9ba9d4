package resolve

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for list, want := range map[string]string{
		"":                               "system",
		" ":                              "system",
		"System":                         "system",
		"1.1.1.1":                        "udp://1.1.1.1:53",
		" 1.1.1.1 , system ":             "udp://1.1.1.1:53,system",
		"1.1.1.1:5353":                   "udp://1.1.1.1:5353",
		"2606:4700::1111":                "udp://[2606:4700::1111]:53",
		"[2606:4700::1111]":              "udp://[2606:4700::1111]:53",
		"[2606:4700::1111]:5353":         "udp://[2606:4700::1111]:5353",
		"::ffff:1.1.1.1":                 "udp://1.1.1.1:53",
		"UDP://1.1.1.1,tcp://9.9.9.9:53": "udp://1.1.1.1:53,tcp://9.9.9.9:53",
		"tcp://[::1]":                    "tcp://[::1]:53",
		"https://dns.example/s3cret":     "https://dns.example:443",
		"https://1.1.1.1/dns-query":      "https://1.1.1.1:443",
		"https://[::1]:8443/dns-query":   "https://[::1]:8443",
	} {
		ups, err := Parse(list)
		var got []string
		for _, u := range ups {
			got = append(got, u.String())
		}
		if err != nil || strings.Join(got, ",") != want {
			t.Errorf("Parse(%q) = %q, %v, want %s", list, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for list, want := range map[string]string{
		",":                                       `entry "": is empty: there is an extra comma`,
		"1.1.1.1,":                                "extra comma",
		"1.1.1":                                   "want system, an address",
		"dns.example":                             `entry "dns.example": want an address: a name would have to be resolved first`,
		"udp://dns.example":                       "want an address: a name",
		"dns.example:53":                          "want system, an address",
		"1.1.1.1:0":                               "port 0",
		"1.1.1.1:65536":                           "want system, an address",
		"0.0.0.0":                                 "is not the address of a server",
		"224.0.0.251:5353":                        "is not the address of a server",
		"fe80::1%eth0":                            "cannot have a zone",
		"udp://1.1.1.1/":                          "want system, an address",
		"tls://1.1.1.1":                           `entry "tls://1.1.1.1": want system, an address`,
		"http://dns.example/dns-query":            "want https://",
		"https://dns.example":                     "has no path: most servers want /dns-query",
		"https://dns.example/":                    "has no path",
		"https://u:hush@dns.example/q":            `entry "https://dns.example…": has a user or password`,
		"https://dns.example/q?k=hush":            "has something after its path",
		"https://dns.example/#hush":               "has something after its path",
		"https://dns.example:0/hush":              `port "0"`,
		"https://dns.example:99999/q":             `port "99999"`,
		"https://d_s..example/hush":               "its host is neither an address nor a name",
		"https:///hush":                           "its host is neither",
		"https://dns.example:x/hush":              "is not a URL",
		"https://[fe80::1%25eth0]/hush":           "cannot have a zone",
		"u:hush@192.0.2.1":                        `entry "…@192.0.2.1": want system, an address`,
		"tcp://u:hush@192.0.2.1":                  `entry "tcp://…@192.0.2.1": want system, an address`,
		"://hush":                                 "want system, an address",
		strings.Repeat("1.1.1.1,", 8) + "1.1.1.1": "want at most 8 entries",
	} {
		_, err := Parse(list)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want it to say: %s", list, err, want)
		} else if strings.Contains(list, "https://") && strings.Contains(err.Error(), "hush") {
			t.Errorf("Parse(%q) = %v, which contains a secret", list, err)
		}
	}
	if ups, err := Parse("nonsense!"); err == nil || ups != nil {
		t.Errorf("Parse(nonsense!) = %v, %v", ups, err)
	}
	if r := New(Config{}); len(r.servers) != 1 || r.servers[0].String() != newSystem("").String() {
		t.Errorf("New without upstreams queries %v, want the system", r.servers)
	} else {
		r.Close()
	}
}

// FuzzParse checks that an accepted list prints safely and parses back, except for a
// URL, whose path is not shown.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "system", "1.1.1.1", "1.1.1.1:53,[::1]:53", "udp://::1", "tcp://9.9.9.9", "https://dns.example/dns-query",
		"https://[::1]:443/a%20b", "a,b", "[::1", "fe80::1%a", "https://u:p@h/x", "://", ",",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ups, err := Parse(list)
		if err != nil {
			return
		}
		if len(ups) == 0 || len(ups) > maxUpstreams {
			t.Fatalf("Parse(%q) = %d upstreams", list, len(ups))
		}
		for _, u := range ups {
			s := u.String()
			if strings.ContainsAny(s, " \n\r\t\x00\"'`,;|?#@") {
				t.Fatalf("Parse(%q) is shown as %q", list, s)
			}
			if u.scheme == "https" {
				continue
			}
			again, err := Parse(s)
			if err != nil || len(again) != 1 || again[0] != u {
				t.Fatalf("Parse(%q) is shown as %q, which parses as %v, %v", list, s, again, err)
			}
		}
	})
}
