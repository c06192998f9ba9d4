//go:build unix

package acceptance

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"tunnels/internal/testnet"
)

// TestAdversaryUsers checks that if a password is required, it cannot be circumvented
// by any protocol or order of steps.
func TestAdversaryUsers(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	users := usersFile(t, map[string]string{"alice": "secret"})
	sink := testnet.Sink(t)
	target := string(address("127.0.0.1", portOf(t, sink.Addr)))
	connect, port, ip := "\x05\x01\x00"+target, target[5:], target[1:5]
	long := strings.Repeat("x", 255)
	for name, say := range map[string]string{
		"no method":               "\x05\x01\x00" + connect,
		"request for greeting":    "\x05\x01\x02" + connect,
		"request after greeting":  "\x05\x02\x00\x02" + connect + connect,
		"no name":                 "\x05\x01\x02\x01\x00\x06secret" + connect,
		"no password":             "\x05\x01\x02\x01\x05alice\x00" + connect,
		"neither":                 "\x05\x01\x02\x01\x00\x00" + connect,
		"version of the password": "\x05\x01\x02\x05\x05alice\x06secret" + connect,
		"NUL after password":      "\x05\x01\x02\x01\x05alice\x07secret\x00" + connect,
		"NUL after name":          "\x05\x01\x02\x01\x06alice\x00\x06secret" + connect,
		"prefix of password":      "\x05\x01\x02\x01\x05alice\x05secre" + connect,
		"line in name":            "\x05\x01\x02\x01\x07\nalice\n\x06secret" + connect,
		"longest":                 "\x05\x01\x02\x01\xff" + long + "\xff" + long + connect,
		"UDP":                     "\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
		"SOCKS4 no user":          "\x04\x01" + port + ip + "\x00",
		"SOCKS4 name":             "\x04\x01" + port + ip + "alice\x00",
		"SOCKS4 no password":      "\x04\x01" + port + ip + "alice:\x00",
		"SOCKS4a no user":         "\x04\x01" + port + "\x00\x00\x00\x01\x00localhost\x00",
	} {
		t.Run(name, func(t *testing.T) { // each subtest has its own client, because wrong passwords cause delays
			t.Parallel()
			client := startClient(t, "-server.addr="+server.Addr, "-client.users="+users)
			told, how := foe(t, client.Addr, []byte(say), true, patience)
			if how == stays || strings.Contains(string(told), "\x05\x00\x00\x01") || strings.HasPrefix(string(told), "\x00\x5a") {
				t.Errorf("received % .30x, %s", told, how)
			}
			if n := sink.Accepted(); n != 0 {
				t.Errorf("the target accepted %d connections", n)
			}
		})
	}
}

// TestAdversaryUsersHTTP checks that every request on a connection needs the exact
// password.
func TestAdversaryUsersHTTP(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	client := startClient(t, "-server.addr="+server.Addr, "-client.users="+usersFile(t, map[string]string{"alice": "secret"}))
	target := newRecorder(t)
	auth := func(s string) string {
		return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) + "\n"
	}
	req := func(path, fields string) string {
		return fmt.Sprintf("GET http://TARGET/%s HTTP/1.1\nHost: TARGET\n%s\n", path, fields)
	}
	good := httpFoe{"good", req("a", auth("alice:secret")), nil}
	if status, _, seen := good.play(t, client, target); status != 200 || !strings.Contains(seen, "GET /a ") || strings.Contains(seen, "Basic") {
		t.Fatalf("with the password: status %d, target received %q", status, seen)
	}
	for name, fields := range map[string]string{"nothing": "", "to the target": strings.TrimPrefix(auth("alice:secret"), "Proxy-"), "two": auth("alice:wrong") + auth("alice:secret"),
		"NUL": auth("alice:secret\x00"), "no colon": auth("alice"), "Bearer": "Proxy-Authorization: Bearer YWxpY2U6c2VjcmV0\n", "no base64": "Proxy-Authorization: Basic ****\n", "huge": auth("alice:" + strings.Repeat("x", 300_000))} {
		f := httpFoe{name, req("a", fields), nil}
		if status, told, seen := f.play(t, client, target); seen != "" || status != 407 && status != 400 && status != 431 {
			t.Errorf("%s: status %d, target received %s; application received %s", name, status, brief(seen), brief(told))
		}
	}
	pair := httpFoe{"pair", req("first", auth("alice:secret")) + req("second", "") + req("third", auth("alice:secret")), nil}
	if _, told, seen := pair.play(t, client, target); !strings.Contains(seen, "/first") || strings.Contains(seen, "/second") || !strings.Contains(told, "HTTP/1.1 407 ") {
		t.Errorf("a request without a password after one with it: target received %q; application received %s", seen, brief(told))
	}
	body := httpFoe{"body", strings.Replace(req("a", "Content-Length: 58\n"), "GET", "POST", 1) + req("smuggled", auth("alice:secret")), nil}
	if status, _, seen := body.play(t, client, target); status != 407 || seen != "" {
		t.Errorf("a body without a password: status %d, target received %q", status, seen)
	}
	tunnel := httpFoe{"tunnel", "CONNECT TARGET HTTP/1.1\nHost: TARGET\n\nGET / HTTP/1.1\nHost: x\n\n", nil}
	if status, _, seen := tunnel.play(t, client, target); status != 407 || seen != "" {
		t.Errorf("CONNECT without a password: status %d, target received %q", status, seen)
	}
}
