//go:build unix

package acceptance

import (
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"tunnels/internal/testnet"
)

// steps returns the verdict for each step in the output of check.
func steps(r result) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(PASS|FAIL|SKIP)  (resolve|connect|congestion|tls|round trip|exit|target|listen) `).FindAllStringSubmatch(r.Stdout+" ", -1) {
		all[m[2]] = m[1]
	}
	for _, m := range regexp.MustCompile(`(?m)^(SKIP)  (.*)$`).FindAllStringSubmatch(r.Stdout, -1) {
		all[m[2]] = m[1]
	}
	return all
}

// TestCheckTestsConnections checks that the broken step fails with the reason, that the
// steps before it pass, and that those after it are skipped.
func TestCheckTestsConnections(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	tunnels(t, "certs", "client", "-dir", a.dir, "lost").must(t)
	tunnels(t, "certs", "revoke", "-dir", a.dir, "lost").must(t)
	pem, err := os.ReadFile(a.file("lost.pem"))
	if err != nil {
		t.Fatal(err)
	}
	lost := writeFile(t, "lost.pem", pem) // a copy in a different folder from the ca.crl that revokes it
	server := startServer(t, a.server()...)
	strict := startServer(t, append(a.server(), "-server.deny=all")...)
	bare := startServer(t, append(a.server(), "-eagersocks.net=tls")...)
	plain := startServer(t, "-remux.net=tcp")
	echo, sink := testnet.Echo(t), testnet.Sink(t)
	closed := testnet.ClosedPort(t)
	by := func(address string, more ...string) []string {
		_, port, _ := net.SplitHostPort(address)
		return append([]string{"client", "-server.addr=localhost:" + port, "-target=" + echo.Addr, "-server.dial.timeout.sec=3"}, more...)
	}
	good := a.client("laptop.pem")
	all := []string{"resolve", "connect", "tls", "round trip", "exit", "target"}
	for _, tt := range []struct {
		name   string
		args   []string
		failed string // the failed step, or "" if all pass
		want   string
	}{
		{"all is well", by(server.Addr, good...), "", "days left"},
		{"a TLS connection for each session", by(bare.Addr, append(good, "-eagersocks.net=tls")...), "", echo.Addr + " reached"},
		{"no such name", append([]string{"client", "-server.addr=no-such-host.invalid:443"}, good...), "resolve", "no-such-host.invalid"},
		{"wrong port", by(closed, good...), "connect", "connection refused; is the server running"},
		{"wrong name", append(by(server.Addr, good...), "-tls.server.name=vps.example"), "tls", "not for vps.example"},
		{"wrong CA for the server", by(server.Addr, other.client("laptop.pem")...), "tls", "unknown CA"},
		{"revoked", by(server.Addr, "-tls.client.cert="+lost), "tls", "refused this client's certificate"},
		{"not a tunnels server", by(plain.Addr, good...), "tls", ""},
		{"a silent server", by(sink.Addr, good...), "tls", "no response"},
		{"refused by policy", by(strict.Addr, good...), "target", "not allowed by the exit's policy"},
		{"dead target", append(by(server.Addr, good...), "-target="+closed), "target", "connection refused; the tunnel itself works"},
		{"wrong port, bare", by(closed, append(good, "-eagersocks.net=tls")...), "connect", "connection refused; is the server running"},
		{"wrong name, bare", append(by(bare.Addr, append(good, "-eagersocks.net=tls")...), "-tls.server.name=vps.example"), "tls", "not for vps.example"},
		{"wrong CA for the server, bare", by(bare.Addr, append(other.client("laptop.pem"), "-eagersocks.net=tls")...), "tls", "unknown CA"},
		{"revoked, bare", by(bare.Addr, "-tls.client.cert="+lost, "-eagersocks.net=tls"), "tls", "refused this client's certificate"},
		{"a server with remux, bare", by(server.Addr, append(good, "-eagersocks.net=tls")...), "tls", "-eagersocks.net"},
		{"a bare server", by(bare.Addr, good...), "tls", "-eagersocks.net"},
		{"a silent server, bare", by(sink.Addr, append(good, "-eagersocks.net=tls")...), "tls", "no response"},
		{"dead target, bare", append(by(bare.Addr, append(good, "-eagersocks.net=tls")...), "-target="+closed), "target", "connection refused; the tunnel itself works"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := tunnels(t, append([]string{"check"}, tt.args...)...)
			if want := min(len(tt.failed), 1); r.Code != want {
				t.Errorf("exit code %d, want %d: %v", r.Code, want, r)
			}
			contains(t, "check", r.Stdout, tt.want)
			ends := map[string]string{"": "", "target": "the exit did not reach the target"}
			if want, ok := ends[tt.failed]; ok && !strings.Contains(r.Stderr, want) || !ok && !strings.Contains(r.Stderr, "checks failed") {
				t.Errorf("check printed %q to standard error", r.Stderr)
			}
			verdict := "PASS"
			got := steps(r)
			for _, step := range all {
				if step == tt.failed {
					verdict = "FAIL"
				}
				if got[step] != verdict {
					t.Errorf("%s: %s, want %s in\n%s", step, got[step], verdict, r.Stdout)
				}
				if took := regexp.MustCompile(`(?m)^....  ` + step + ` +[0-9.]+ ms( |$)`); verdict != "SKIP" && !took.MatchString(r.Stdout) {
					t.Errorf("%s has no time in\n%s", step, r.Stdout)
				}
				if verdict == "FAIL" {
					verdict = "SKIP"
				}
			}
		})
	}
	t.Run("congestion control", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS != "linux" {
			t.Skip("congestion control can be chosen only on Linux")
		}
		r := tunnels(t, append([]string{"check"}, by(server.Addr, append(good, "-remux.congestion=reno")...)...)...).must(t)
		if !regexp.MustCompile(`(?m)^PASS  congestion +[0-9.]+ ms  reno`).MatchString(r.Stdout) {
			t.Errorf("no line about reno in\n%s", r.Stdout)
		}
		r = tunnels(t, append([]string{"check"}, by(server.Addr, append(good, "-remux.congestion=nonesuch")...)...)...)
		if r.Code != 2 {
			t.Errorf("exit code %d for an unknown algorithm, want 2: %v", r.Code, r)
		}
		contains(t, "check", r.Stderr, "-remux.congestion \"nonesuch\" (command line): the kernel does not offer it")
	})
	t.Run("without TLS", func(t *testing.T) {
		t.Parallel()
		r := tunnels(t, "check", "client", "-server.addr="+plain.Addr, "-remux.net=tcp", "-target", echo.Addr).must(t)
		if got := steps(r); got["tls"] != "" || got["round trip"] != "PASS" || got["target"] != "PASS" {
			t.Errorf("steps %v in\n%s", got, r.Stdout)
		}
	})
	for _, way := range []string{"remux", "tls"} {
		t.Run("no errors in the server's log: "+way, func(t *testing.T) {
			s := startServer(t, append(a.server(), "-eagersocks.net="+way)...)
			tunnels(t, append([]string{"check"}, by(s.Addr, append(good, "-eagersocks.net="+way)...)...)...).must(t)
			s.waitLog(`\[sock\] - .* = `)
			if way == "remux" {
				s.waitLog(`\[conn\] - .* = 0`)
			}
			if bad := append(s.lines("[erro]"), s.lines("[warn]")...); len(bad) > 0 {
				t.Errorf("the server's log has errors after check: %q", bad)
			}
		})
	}
}

// TestCheckServer checks that check reports whether the server can listen and resolve
// names.
func TestCheckServer(t *testing.T) {
	t.Parallel()
	a := common(t)
	running := startServer(t)
	server := func(more ...string) []string {
		return append(append([]string{"check", "server"}, a.server()...), more...)
	}
	for _, tt := range []struct {
		name, listen, resolve, want string
		args                        []string
	}{
		{"good", "PASS", "PASS", "localhost is 127.0.0.1", server("-server.addr=127.0.0.1:0", "-target=localhost:80")},
		{"in use", "PASS", "PASS", "is in use", server("-server.addr="+running.Addr, "-target=localhost:80")},
		{"not local", "FAIL", "PASS", "192.0.2.1:443", server("-server.addr=192.0.2.1:443", "-target=localhost:80")},
		{"dead resolver", "PASS", "FAIL", "-server.dns", server("-server.addr=127.0.0.1:0", "-server.dns=127.0.0.1:1", "-server.dial.timeout.sec=1", "-target=www.example:80")},
	} {
		r := tunnels(t, tt.args...)
		failed := tt.listen == "FAIL" || tt.resolve == "FAIL"
		if got := steps(r); got["listen"] != tt.listen || got["resolve"] != tt.resolve || (r.Code != 0) != failed || !strings.Contains(r.Stdout, tt.want) {
			t.Errorf("%s: %v", tt.name, r)
		}
	}
	for _, bad := range [][]string{{"-target"}, {"-target", "example.com"}, {"-target=:1"}} {
		if r := tunnels(t, server(bad...)...); r.Code != 2 || !strings.Contains(r.Stderr, "-target") {
			t.Errorf("check %v: %v, want exit code 2", bad, r)
		}
	}
}
