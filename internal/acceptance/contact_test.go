//go:build unix

package acceptance

import (
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestContact checks that the greeting says whether the server has responded, or else
// what may be wrong, and then how to use the client.
func TestContact(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	var client *process
	said := ""
	for range 5 { // on a busy machine, connecting may take longer than the greeting waits
		client = startClient(t, "-server.addr="+server.Addr)
		said = client.waitStdout(`^Status: (connected to ` + server.Addr + ` \(\S+ ms\)|not connected yet: .*)$`)
		client.waitStdout(`^Try: +curl .*$`)
		client.waitLog(`\[info\] \[main\] connected to ` + server.Addr + ` \(`)
		if strings.HasPrefix(said, "connected to ") {
			break
		}
	}
	if !strings.HasPrefix(said, "connected to ") {
		t.Errorf("the status is %q, want connected", said)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	socks := client.Addr
	text := web(t, serveText("hello")).Listener.Addr().String()
	const noAnswer = "no response yet; is its port open in the firewall?"
	for _, tt := range []struct{ name, addr, status, log string }{ // on a busy machine there may be no response yet
		{"closed port", testnet.ClosedPort(t), "connection refused; is the server running, and is this its port?", `\[erro\] .*is the server running`},
		{"no answer", silent.Addr().String(), noAnswer, ""},
		{"a client's own port", socks, "?", `\[erro\] .*(a SOCKS or HTTP proxy\?|is the program listening there a tunnels server\?)`},
		{"a web server", text, "something other than a tunnels server is listening there", `\[erro\] .*something other than a tunnels server`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startClient(t, "-server.addr="+tt.addr)
			status := p.waitStdout(`^Status: not connected yet: (.*)$`)
			if !strings.HasPrefix(status, tt.addr+": ") || !strings.Contains(status, tt.status) && !strings.Contains(status, noAnswer) {
				t.Errorf("the status is %q, want it to contain %q", status, tt.status)
			}
			p.waitStdout(`^Try: +curl .*$`)
			if tt.log != "" {
				p.waitLog(tt.log)
			}
		})
	}
}

// TestContactLater checks that a client started before its server connects later, and
// logs that.
func TestContactLater(t *testing.T) {
	t.Parallel()
	addr := filepath.Join(shortDir(t), "s") // unlike a port, it cannot be taken by another process in the meantime
	client := startClient(t, "-server.net=unix", "-server.addr="+addr, "-tls.server.name=localhost")
	client.waitStdout(`^Status: not connected yet: ` + addr)
	client.waitStdout(`^        Still trying\.$`)
	startServer(t, "-server.net=unix", "-server.addr="+addr)
	client.waitLog(`\[info\] \[main\] connected to ` + addr + ` \(`)
}

// TestStartFails checks that the reason for a failed start is reported once on the
// terminal and once in the log, with a fix, and that the log contains no other lines.
func TestStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	in := taken.Addr().String()
	server := append([]string{"server"}, common(t).server()...)
	client := append([]string{"client", "-server.addr=localhost:1"}, common(t).client("laptop.pem")...)
	dir := shortDir(t)
	a, b := common(t), newAuthority(t)
	files := func(role, cert, key, ca string) []string {
		own := map[string][]string{"server": {"server", "-server.addr=127.0.0.1:0"}, "client": {"client", "-server.addr=localhost:1", "-client.addr=127.0.0.1:0"}}[role]
		return append(own, "-tls."+role+".cert="+cert, "-tls."+role+".key="+key, "-tls."+role+".ca="+ca)
	}
	laptop := a.file("laptop.pem")
	expired := a.forge(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	pem, err := os.ReadFile(a.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := writeFile(t, "damaged.pem", slices.Concat(pem[:len(pem)/2], []byte("\n"), pem))
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a client's certificate at the server", files("server", laptop, laptop, a.file("ca.pem")), 2, []string{laptop, "the certificate of laptop, which is not a server certificate", "server.pem"}},
		{"a server's certificate at a client", files("client", a.file("server.pem"), a.file("server.key"), a.file("ca.pem")), 2, []string{"server.pem", "which is not a client certificate", "tunnels certs client"}},
		{"another certificate's key", files("server", a.file("server.pem"), b.file("server.key"), a.file("ca.pem")), 2, []string{"server.key", "does not belong to", "tunnels certs init"}},
		{"another CA at the server", files("server", a.file("server.pem"), a.file("server.key"), b.file("ca.pem")), 2, []string{"is signed by tunnels CA ", "-tls.server.ca trusts tunnels CA ", "tunnels certs init"}},
		{"another CA at a client", files("client", laptop, laptop, b.file("ca.pem")), 2, []string{"is signed by tunnels CA ", "-tls.client.ca trusts tunnels CA "}},
		{"an expired certificate", files("client", expired, expired, a.file("ca.pem")), 2, []string{"forged expired on ", "tunnels certs client"}},
		{"a damaged CA file", files("server", a.file("server.pem"), a.file("server.key"), damaged), 2, []string{damaged, "block 1 of 2 is damaged"}},
		{"a folder as a certificate", files("client", dir, dir, a.file("ca.pem")), 2, []string{"-tls.client.cert", dir, "tunnels certs client"}},
		{"a damaged users file", append(client, "-client.addr=127.0.0.1:0", "-client.users="+damaged), 2, []string{"-client.users", damaged}},
		{"client's port in use", append(client, "-client.addr="+in), 1, []string{"client: " + in + " is in use, perhaps by another tunnels process", "-client.addr 127.0.0.1:"}},
		{"server's port in use", append(server, "-server.addr="+in), 1, []string{"server: " + in + " is in use, perhaps by another tunnels process", "-server.addr 127.0.0.1:"}},
		{"one of two in use", []string{"-server", "-client", "-client.addr=127.0.0.1:0," + in}, 1, []string{in + " is in use"}},
		{"an unknown name", append(server, "-server.addr=vps.invalid:443"), 1, []string{"vps.invalid:443 is not an address of this machine", "use -server.addr :443"}},
		{"another machine's address", append(server, "-server.addr=192.0.2.77:443"), 1, []string{"192.0.2.77:443 is not an address of this machine", "use -server.addr :443"}},
		{"a link-local address without its interface", append(server, "-server.addr=[fe80::1]:443"), 1, []string{"fe80::1", "[fe80::1%INTERFACE]:443"}},
		{"an interface that does not exist", append(server, "-server.addr=[fe80::1%nosuch0]:443"), 1, []string{"fe80::1%nosuch0", "no interface", "nosuch0"}},
		{"the server's address as the client's", append(client, "-client.addr=192.0.2.77:1080", "-client.open"), 1, []string{"192.0.2.77:1080 is not an address of this machine", "-client.addr is where applications connect", "-server.addr"}},
		{"a certificate that does not exist", append(client, "-tls.client.cert="+dir+"/none.pem"), 2, []string{"-tls.client.cert", dir + "/none.pem", "tunnels certs client"}},
		{"a users file that does not exist", append(client, "-client.addr=127.0.0.1:0", "-client.users="+dir+"/none"), 2, []string{"-client.users", dir + "/none", "tunnels users add"}},
	} {
		for _, to := range []string{filepath.Join(t.TempDir(), "log"), "-"} {
			r := tunnels(t, append(tt.args, "-sla.log.path="+to)...)
			if r.Code != tt.code || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("%s, log %s: want exit code %d and one line, got %v", tt.name, to, tt.code, r)
			}
			contains(t, tt.name, r.Stderr, tt.want...)
			if to == "-" {
				continue
			}
			log, err := os.ReadFile(to)
			if err != nil || strings.Count(string(log), "\n") != 1 || !strings.Contains(string(log), "[erro] [main] cannot start: ") {
				t.Errorf("%s: the log has %q, %v, want one line", tt.name, log, err)
			}
			contains(t, tt.name+", log", string(log), tt.want...)
		}
	}
	if os.Getuid() == 0 && lookup("setpriv") != "" { // as an ordinary user
		r := run(t, "setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", binary,
			"-server", "-client", "-server.addr=127.0.0.1:445", "-remux.net=tcp", "-sla.log.path=-")
		if r.Code == 1 && strings.Contains(r.Stderr, "permission denied") == strings.Contains(r.Stderr, "no permission to listen on 127.0.0.1:445") {
			t.Errorf("a port below 1024: %v", r)
		}
		contains(t, "a port below 1024", r.Stderr, "ports below 1024 need root or CAP_NET_BIND_SERVICE", "-server.addr 127.0.0.1:8445")
	}
}

// TestRefusedClientLogsOnceAMinute checks that a client with a revoked certificate logs
// that once a minute at erro, with a count, however many requests there are.
func TestRefusedClientLogsOnceAMinute(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	tunnels(t, "certs", "client", "-dir", a.dir, "lost").must(t)
	pem, err := os.ReadFile(a.file("lost.pem"))
	if err != nil {
		t.Fatal(err)
	}
	tunnels(t, "certs", "revoke", "-dir", a.dir, "lost").must(t)
	for _, way := range []string{"remux", "tls"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, append(a.server(), "-eagersocks.net="+way)...)
			lost := writeFile(t, "lost.pem", pem) // a copy in a different folder from the ca.crl that revokes it
			client := startClient(t, "-tls.client.cert="+lost, "-tls.client.key="+lost, "-tls.client.ca="+lost, "-eagersocks.net="+way, "-server.addr="+server.Addr)
			for range 12 {
				if r := linkCurl(t, client.Addr, "http://127.0.0.1:1/"); r.Code == 0 {
					t.Fatalf("curl through a server that refuses its client: %v", r)
				}
			}
			client.wantLine(patience, "refused this client's certificate")
			if bad := client.lines("[erro]"); len(bad) > 3 {
				t.Errorf("%d lines at erro, want 1: %q", len(bad), bad)
			}
		})
	}
}
