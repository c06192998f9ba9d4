//go:build unix

package acceptance

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUsersAndAddresses tests two addresses and a UNIX socket that share a users file,
// which is changed while the client is running.
func TestUsersAndAddresses(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	site := web(t, serveText("hello"))
	users := filepath.Join(t.TempDir(), "users")
	add := func(password string) result {
		t.Helper()
		return job{Stdin: []byte(password + "\n")}.run(t, binary, "users", "add", users, "alice").must(t)
	}
	contains(t, "users add", add("old secret").Stdout, "added alice to "+users)
	job{Env: []string{"TUNNELS_PASSWORD=hush"}}.run(t, binary, "users", "add", users, "bob").must(t)
	if r := tunnels(t, "users", "list", users).must(t); r.Stdout != "alice\nbob\n" {
		t.Errorf("users list prints %q", r.Stdout)
	}

	server := startServer(t)
	socket := filepath.Join(shortDir(t), "door")
	client := startClient(t, "-server.addr="+server.Addr, "-client.users="+users, "-client.addr=127.0.0.1:0,unix:"+socket+",tcp:0.0.0.0:0")
	client.waitStdout(`^ +and on (` + socket + `)$`)
	port := client.waitStdout(`^ +and on \S+:(\d+)$`)
	client.waitStdout(`^Try: +(curl -U NAME -x socks5h://` + client.Addr + ` .*)$`)
	client.waitLog(`\[warn\] \[main\] -client\.users: passwords are sent to 0\.0\.0\.0:0`)
	for _, addr := range []string{client.Addr, "127.0.0.1:" + port, "localhost" + socket} {
		for _, user := range []string{"alice:old secret", "bob:hush"} {
			if got := curl(t, addr, "-U", user, site.URL).must(t).Stdout; got != "hello" {
				t.Errorf("curl as %s via %s = %q, want hello", user, addr, got)
			}
		}
	}
	if r := run(t, "curl", "-sS", "-x", "socks4a://bob%3Ahush@"+client.Addr, site.URL).must(t); r.Stdout != "hello" {
		t.Errorf("curl via SOCKS4a = %q, want hello", r.Stdout)
	}
	if r := curl(t, client.Addr, site.URL); r.Code == 0 {
		t.Error("curl without a password succeeded")
	}

	contains(t, "users add", add("new secret").Stdout, "changed the password of alice")
	tunnels(t, "users", "remove", users, "bob").must(t)
	client.Signal(syscall.SIGHUP)
	client.waitLog(`\[info\] \[main\] client: reloaded certificates and users$`)
	curl(t, client.Addr, "-U", "alice:new secret", site.URL).must(t)
	for i, user := range []string{"alice:old secret", "bob:hush", "alice:"} {
		start := time.Now()
		if r := curl(t, client.Addr, "-U", user, site.URL); r.Code == 0 {
			t.Errorf("curl as %s still succeeds", user)
		}
		if least := time.Duration(i) * 250 * time.Millisecond; time.Since(start) < least {
			t.Errorf("wrong password %d was rejected within %v, want a longer delay", i+1, least)
		}
	}
	client.waitLog(`\[warn\] \[main\] no request from 127\.0\.0\.1:\d+: .*user or password is wrong$`)
	for _, secret := range []string{"secret", "hush", "$2a$"} {
		if strings.Contains(client.log(), secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
	if err := os.WriteFile(users, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	curl(t, client.Addr, "-U", "alice:new secret", site.URL).must(t)
	check := append([]string{"check", "-offline", "-client", "-server.addr=" + server.Addr, "-client.users=" + users}, common(t).client("laptop.pem")...)
	if r := tunnels(t, check...); r.Code != 1 || !strings.Contains(r.Stdout, users+": line 1: ") {
		t.Errorf("check of a broken users file: %v; want exit code 1 and the line number", r)
	}
}

// TestUsersVerbRefuses checks that the users command explains what is wrong, with exit
// code 2 if the command line is invalid.
func TestUsersVerbRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "users")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, 2, "add, list or remove"},
		{[]string{"frobnicate"}, 2, "add, list or remove"},
		{[]string{"add"}, 2, "a file and a name"},
		{[]string{"add", file}, 2, "a file and a name"},
		{[]string{"add", file, "alice", "secret"}, 2, "a file and a name"},
		{[]string{"add", file, "alice"}, 2, "TUNNELS_PASSWORD"},
		{[]string{"list"}, 2, "needs a file"},
		{[]string{"list", file}, 2, file},
		{[]string{"remove", file, "alice"}, 2, file},
		{[]string{"-x"}, 2, "add, list or remove"},
	} {
		r := tunnels(t, append([]string{"users"}, tt.args...)...)
		if r.Code != tt.code || !strings.Contains(r.Stderr, tt.want) {
			t.Errorf("tunnels users %q: %v; want exit code %d and %q", tt.args, r, tt.code, tt.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("failed commands left files behind: %v, %v", left, err)
	}
	if r := tunnels(t, "users", "-h").must(t); !strings.Contains(r.Stdout, "TUNNELS_PASSWORD") {
		t.Errorf("users -h prints %q", r.Stdout)
	}
}

// TestTwentyThousandSlowGreetings checks that connections that send one byte and then
// stall use few resources, and that the next one is still served.
func TestTwentyThousandSlowGreetings(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	site := web(t, serveText("hello"))
	_, client := startPair(t, "-sla.log.level=info")
	curl(t, client.Addr, site.URL).must(t)
	before := client.rss()
	const all = 20_000
	slow := make([]net.Conn, 6000) // the newest ones, more than the client keeps open
	t.Cleanup(func() {
		for _, c := range slow {
			c.Close()
		}
	})
	for i := range all {
		c, err := net.Dial("tcp", client.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte{5}); err != nil {
			t.Error(err)
		}
		if old := slow[i%len(slow)]; old != nil {
			old.Close()
		}
		slow[i%len(slow)] = c
	}
	start := time.Now()
	if got := curl(t, client.Addr, site.URL).must(t).Stdout; got != "hello" {
		t.Errorf("curl = %q, want hello", got)
	}
	took, grown := time.Since(start), client.rss()-before
	t.Logf("the next request took %v; the client grew by %d KiB", took, grown>>10)
	if took > 9*time.Second {
		t.Errorf("the next request took %v", took)
	}
	if grown > 96<<20 {
		t.Errorf("the client grew by %d MiB, want 96 at most", grown>>20)
	}
}
