package keytext

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
)

// TestLooksRandom checks that base64 lines are recognized, even with text around them.
func TestLooksRandom(t *testing.T) {
	const tries = 2000
	missed := 0
	for range tries {
		var b [48]byte
		_, _ = rand.Read(b[:]) // never fails
		line := base64.StdEncoding.EncodeToString(b[:])
		if !Looks(line) || !Looks("vps.example:"+line+",x") {
			missed++
		}
	}
	if missed > tries/100 { // about one in two thousand
		t.Errorf("%d of %d random lines were not recognized", missed, tries)
	}
}

func TestLooks(t *testing.T) {
	yes := []string{
		"-----BEGIN PRIVATE KEY-----", "x -----BEGIN CERTIFICATE-----\nMII", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr8",
		"kR3pQ1xZ7w==", "a = kR3pQ1xZ7wA=", "kR3pQ1xZ7wA=\n",
	}
	no := []string{
		"", "vps.example.com:443", "127.0.0.1:1080", "10.0.0.0/8,*.corp.example:443,db.internal:5432", "/etc/tunnels/server.pem",
		"/home/JohnSmith/Projects/TunneLS/certs/Laptop2026.pem", "C:\\Users\\John Smith\\Documents\\client.pem", "server.addr=:443",
		"/usr/local/share/AVeryLongCamelCaseName2/of/some/file", "timeout=", "/tmp/TestFileIsNamedForWhatItIs1230987421/001/log", "TUNNELS_SERVICE_PORT_443_TCP_ADDR", "tcp://10.96.0.7:443",
		"/var/lib/kubelet/pods/5f0c9f6e-8a0e-4d1b-9f0e-2f6d3c1b7a55/volumes/kubernetes.io~secret/tls/tls.crt", "abc=",
		"https://dns.example/dns-query", "[2001:db8:1234:5678:9abc:def0:1234:5678]:443", "client=true", "12345678=",
		"a3f5c9e1b7d2480e9c6a5f3b1d7e2c4801f3a5c7", "socks5h://user@127.0.0.1:1080", "[fe80::1%eth0]:443", "a:443,b:443", "alice@plant-7",
	}
	for _, s := range yes {
		if !Looks(s) {
			t.Errorf("Looks(%q) = false", s)
		}
		if got := Quote(s); strings.Contains(got, s) {
			t.Errorf("Quote(%q) = %s", s, got)
		}
	}
	for _, s := range no {
		if Looks(s) {
			t.Errorf("Looks(%q) = true", s)
		}
		if got := Show(s); got != s {
			t.Errorf("Show(%q) = %s", s, got)
		}
	}
	for text, want := range map[string]string{
		"socks5://u:hush@127.0.0.1:1080": "socks5://…@127.0.0.1:1080", "https://u:@x/y": "https://…@x/y",
		"a:443,alice:hush@b:443": "a:443,…@b:443", "bad flag: -x=alice:hush@b": "bad flag: …@b",
	} {
		if got := Show(text); got != want {
			t.Errorf("Show(%q) = %q, want %q", text, got, want)
		}
	}
	if got := Quote("a\n"); got != `"a\n"` {
		t.Errorf("Quote = %s", got)
	}
}

// FuzzLooks checks that Looks and Show terminate on any input, and that text that looks
// like a key is not shown.
func FuzzLooks(f *testing.F) {
	f.Add("kR3pQ1xZ7w==")
	f.Add("-----BEGIN")
	f.Fuzz(func(t *testing.T, s string) {
		if Looks(s) && s != "" && strings.Contains(Show(s), s) && len(s) > 8 {
			t.Fatalf("Show(%q) repeats it", s)
		}
	})
}
