package ca

import (
	"strings"
	"testing"
)

func FuzzIssued(f *testing.F) {
	f.Add([]byte(issuedHeader + "1a2b client 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z laptop.pem laptop\n"))
	f.Add([]byte("7 server 2026-01-02T15:04:05+02:00 2028-01-02T15:04:05Z server.pem vps.example.com,203.0.113.7,::1\n\n"))
	f.Add([]byte("7 client\n"))
	f.Add([]byte("x client a b c d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseIssued(data)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, i := range all {
			if len(i.Names) == 0 {
				t.Fatal("parseIssued returned a certificate without a name")
			}
			text.WriteString(i.line())
		}
		again, err := parseIssued([]byte(text.String()))
		if err != nil || len(again) != len(all) {
			t.Fatalf("after a round trip: %v, %d certificates, want %d\n%s", err, len(again), len(all), text.String())
		}
		for i := range all {
			if all[i].line() != again[i].line() {
				t.Errorf("after a round trip: %q, want %q", again[i].line(), all[i].line())
			}
		}
	})
}

func TestParseIssuedErrors(t *testing.T) {
	const good = "1a client 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z laptop.pem laptop\n"
	for line, want := range map[string]string{
		"1a client\n": "line 2: 2 fields",
		"xyz client 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z f laptop": "line 2: serial \"xyz\"",
		"1a king 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z f laptop":    "line 2: role \"king\"",
		"1a client yesterday 2028-01-02T15:04:05Z f laptop":             "line 2: date \"yesterday\"",
		"1a client 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z f ../x":    "line 2: client name",
		"1a server 2026-01-02T15:04:05Z 2028-01-02T15:04:05Z f a,b/c":   "line 2: server name",
	} {
		if _, err := parseIssued([]byte(good + line)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("parseIssued(%q) = %v, want %q…", line, err, want)
		}
	}
}
